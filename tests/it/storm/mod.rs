//! Honest work, at random: a team archives, restores, edits, merges, rebases, picks, squashes and reverts with the real
//! git, and nothing below `.codex` ever conflicts, no check raises a false alarm, and no record is lost.
//!
//! A seed decides every operation. `ARCHIVE_TOMB_STORM_SEEDS=200` runs so many seeds, `ARCHIVE_TOMB_STORM_SEED=7` runs
//! this one; a failure prints its seed and everything that was done. What single operations look like is told by the
//! tests in `histories`.

mod land;
mod settle;
mod team;
mod work;

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::common::World;
use team::Team;

/// How many seeds run where nobody asks for more, and how many branches each has.
const SEEDS: u64 = 2;
const BRANCHES: usize = 50;

/// How many branches may be open at a time.
const OPEN: usize = 5;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not `{value}`")))
}

#[test]
fn a_storm_of_honest_work_raises_no_alarm_and_loses_no_record() {
    let seeds: Vec<u64> = match variable("ARCHIVE_TOMB_STORM_SEED") {
        Some(seed) => vec![seed],
        None => (1..=variable("ARCHIVE_TOMB_STORM_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let count = seeds.len();
    let counts = seeds.into_par_iter().map(storm).reduce(BTreeMap::new, |mut all, counts| {
        for (what, count) in counts {
            *all.entry(what).or_default() += count;
        }
        all
    });
    let listed: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    team::say(&format!("{count} seeds: {}", listed.join(", ")));
    // A storm in which something never happens proves nothing about it.
    if count >= 2 {
        for what in ["stores", "restores", "merges", "rebases", "cherry-picks", "squashes", "reverts", "conflicts"] {
            assert!(counts.get(what).is_some_and(|count| *count > 0), "no {what}: {listed:?}");
        }
    }
}

/// Runs the work that a seed stands for, and returns how often what was done.
fn storm(seed: u64) -> BTreeMap<&'static str, u64> {
    let world = World::new();
    let mut team = Team::new(&world, seed);
    let mut started = 0;
    while started < BRANCHES || !team.open.is_empty() {
        let may_start = started < BRANCHES && team.open.len() < OPEN;
        match team.random.u8(0..10) {
            0..4 if may_start => {
                started += 1;
                team.start(started);
            }
            4..6 if !team.open.is_empty() => team.go_on(),
            6.. if team.open.len() > 2 || started == BRANCHES => team.land_some(),
            _ => {}
        }
    }
    team.finish();
    team.counts.clone()
}
