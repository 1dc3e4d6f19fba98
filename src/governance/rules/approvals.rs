//! How many persons consent.

use std::collections::BTreeMap;

use super::Voice;
use crate::governance::person::{self, Person};

/// Returns one voice of each of up to `needed` persons who are different in every way: no two share an address or a name that
/// one of them has no address to, nor a key. Who comes first is preferred.
pub(super) fn different(voices: &[Voice], needed: usize) -> Vec<&Voice> {
    let people: Vec<&Person> = voices.iter().map(|voice| &voice.person).collect();
    let persons: Vec<Vec<&Voice>> = person::different(&people)
        .into_iter()
        .map(|same| same.into_iter().map(|number| &voices[number]).collect())
        .collect();
    // Which key speaks for whom: a key speaks once, whoever else it belongs to.
    let mut speakers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen: BTreeMap<usize, &Voice> = BTreeMap::new();
    for person in 0..persons.len() {
        if chosen.len() == needed {
            break;
        }
        let mut asked = Vec::new();
        seat(person, &persons, &mut speakers, &mut chosen, &mut asked);
    }
    chosen.into_values().collect()
}

/// Finds a key for `person`, if need be by finding another one for whoever it speaks for. Who has a voice keeps one.
fn seat<'a>(
    person: usize,
    persons: &[Vec<&'a Voice>],
    speakers: &mut BTreeMap<&'a str, usize>,
    chosen: &mut BTreeMap<usize, &'a Voice>,
    asked: &mut Vec<&'a str>,
) -> bool {
    for voice in &persons[person] {
        let Some(key) = voice.key.as_deref() else {
            chosen.insert(person, voice);
            return true;
        };
        if asked.contains(&key) {
            continue;
        }
        asked.push(key);
        let holder = speakers.get(key).copied();
        if holder.is_none_or(|holder| seat(holder, persons, speakers, chosen, asked)) {
            speakers.insert(key, person);
            chosen.insert(person, voice);
            return true;
        }
    }
    false
}
