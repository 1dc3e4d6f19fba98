//! Who an actor is, however the name is spelt.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization as _;

/// A person, as an actor names one: `name <e-mail>`, a bare e-mail address, or a name.
///
/// Where in doubt, two spellings are one person: nobody gains a second voice by a way to write the first. So every e-mail
/// address counts, wherever in the actor it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    name: String,
    emails: BTreeSet<String>,
}

impl Person {
    /// Returns who `actor` is; `None` where nobody is named.
    pub fn parse(actor: &str) -> Option<Self> {
        let folded = fold(actor);
        let mut emails = BTreeSet::new();
        // What stands in the place of an address is one, whatever it looks like.
        let text = match divide(&folded) {
            Some((name, local)) if !local.contains('@') => {
                emails.extend(Some(tidy(local)).filter(|local| !local.is_empty()));
                name
            }
            _ => folded,
        };
        let mut names = Vec::new();
        for word in words(&text) {
            let found = addresses(&word);
            if found.is_empty() {
                names.push(word);
            }
            emails.extend(found);
        }
        let name = names.join(" ");
        (!emails.is_empty() || !name.is_empty()).then_some(Self { name, emails })
    }

    /// Returns whether `actor` is written so that everybody reads it alike: a name, a bare e-mail address, or a name with one
    /// address in brackets.
    pub fn is_clear(actor: &str) -> bool {
        let folded = fold(actor);
        if !folded.contains(['<', '>']) {
            return !folded.contains('@') || is_address(&folded);
        }
        let Some((name, email)) = divide(&folded) else { return false };
        let (name, email) = (name.trim(), email.trim());
        let is_named = !name.contains(['<', '>', '@']) || name == email;
        is_named && !email.contains('<') && (!email.contains('@') || is_address(email))
    }

    /// Returns whether two actors are one person: by an e-mail address that both have, or where either has none, by the name.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.emails.is_empty() || other.emails.is_empty() {
            return self.name == other.name;
        }
        !self.emails.is_disjoint(&other.emails)
    }
}

/// Returns how many of these can only be different persons.
pub fn distinct<'a>(persons: impl IntoIterator<Item = &'a Person>) -> usize {
    different(&persons.into_iter().collect::<Vec<_>>()).len()
}

/// Returns those who can only be different persons, each as the numbers of all that may be the same one, by the first of them.
/// Names without an address that somebody with one goes by are nobody's.
pub(super) fn different(persons: &[&Person]) -> Vec<Vec<usize>> {
    let addressed: BTreeSet<&str> =
        persons.iter().filter(|person| !person.emails.is_empty()).map(|person| person.name.as_str()).collect();
    let mut first_of = BTreeMap::new();
    // Each leads to an earlier one that is the same person, the first to itself.
    let mut earlier: Vec<usize> = (0..persons.len()).collect();
    for (number, person) in persons.iter().enumerate() {
        let name = Some(&person.name).filter(|_| person.emails.is_empty());
        for key in person.emails.iter().map(|email| (true, email)).chain(name.map(|name| (false, name))) {
            let other = first(&mut earlier, *first_of.entry(key).or_insert(number));
            let own = first(&mut earlier, number);
            earlier[own.max(other)] = own.min(other);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, person) in persons.iter().enumerate() {
        if !person.emails.is_empty() || !addressed.contains(person.name.as_str()) {
            groups.entry(first(&mut earlier, number)).or_default().push(number);
        }
    }
    groups.into_values().collect()
}

/// Returns the first to whom `number` leads, and shortens the way.
fn first(earlier: &mut [usize], mut number: usize) -> usize {
    while earlier[number] != number {
        earlier[number] = earlier[earlier[number]];
        number = earlier[number];
    }
    number
}

/// Divides `name <e-mail>` into the two; what follows the address belongs to the name.
fn divide(text: &str) -> Option<(String, &str)> {
    let (before, rest) = text.split_once('<')?;
    let (email, after) = rest.split_once('>')?;
    Some((format!("{before} {after}"), email))
}

/// Returns whether `text` is an e-mail address and nothing else.
fn is_address(text: &str) -> bool {
    addresses(text).iter().eq([text])
}

/// Returns the words of an actor; an address is one of them, however much is put around it.
fn words(text: &str) -> Vec<String> {
    let divided = text.replace("mailto:", " ").replace(|character: char| DIVIDERS.contains(character), " ");
    let mut words: Vec<String> = Vec::new();
    for word in divided.split_whitespace() {
        match words.last_mut() {
            Some(last) if last.ends_with('@') || word.starts_with('@') => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
    }
    words
}

/// What is in no address and divides words.
const DIVIDERS: &str = "<>()[]{},;:/|";

/// Returns the e-mail addresses in a word, without what is put before and after them.
fn addresses(word: &str) -> Vec<String> {
    let parts: Vec<&str> = word.split('@').collect();
    let mut found = Vec::new();
    for pair in parts.windows(2) {
        let local = pair[0].rsplit(is_foreign).next().unwrap_or_default();
        let host = pair[1].split(is_foreign).next().unwrap_or_default();
        let [local, host] = [local, host].map(|part| part.trim_matches(|character: char| !character.is_alphanumeric()));
        if !local.is_empty() && !host.is_empty() {
            found.push(format!("{local}@{host}"));
        }
    }
    found
}

/// Returns whether a character ends an address on either side of its `@`.
fn is_foreign(character: char) -> bool {
    let is_known = character.is_alphanumeric() || unicode_normalization::char::is_combining_mark(character);
    !is_known && !"!#$%&*+-.=?^_{|}~".contains(character)
}

/// Returns `text` as it is compared: compatible forms of a character, cases and kinds of white space are one, and what
/// nobody sees and quotes are not there.
fn fold(text: &str) -> String {
    // Some characters fold to what only normalising brings to its last form, and that may have a case again.
    let mut folded = fold_once(text);
    loop {
        let again = fold_once(&folded);
        if again == folded {
            return folded;
        }
        folded = again;
    }
}

fn fold_once(text: &str) -> String {
    let visible = text.nfkd().filter(|character| !is_invisible(*character) && !QUOTES.contains(*character));
    // Character by character, as the lower-case sigma depends on where it stands; and by way of the capitals, where some
    // that differ in lower case are one.
    let lower = visible.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>();
    tidy(&lower.nfkc().collect::<String>())
}

/// Returns `text` with one blank for each run of white space or control characters, and none at the ends.
fn tidy(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What stands around names and parts of addresses, and says nothing.
const QUOTES: &str = "\"'`\\‘’‚‛“”„‟«»‹›";

/// Returns whether a character is drawn as nothing (Unicode's `Default_Ignorable_Code_Point`).
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn person(actor: &str) -> Person {
        Person::parse(actor).expect("names somebody")
    }

    #[test]
    fn a_person_has_many_spellings() {
        let ada = person("Ada Lovelace <ada@example.org>");
        for other in [
            "ada lovelace <ADA@Example.org>",
            "<ADA@Example.org>",
            "ada@example.org",
            "  Ada\t\u{a0}Lovelace\n< ada@example.org >",
            "\"Lovelace, Ada\" <ada@example.org>",
            "Somebody Else <ada@example.org>",
            "<ada@example.org> Ada",
            "Ada Lovelace",
            "'ADA  LOVELACE'",
            "\"Ada Lovelace\"",
            "Ａｄａ\u{3000}Ｌｏｖｅｌａｃｅ",
            "Ada\u{ad} Love\u{200b}lace\u{feff}",
            "Ada Lovelace <>",
        ] {
            assert!(ada.is_same(&person(other)) && person(other).is_same(&ada), "{other}");
        }
        for other in
            ["Ada", "Ada Lovelace <ada@example.com>", "Grace <grace@example.org>", "ada@org.example", "AdaLovelace"]
        {
            assert!(!ada.is_same(&person(other)), "{other}");
        }
    }

    /// One address, disguised.
    const DISGUISED: [&str; 28] = [
        "\"ada@x.org\"",
        "'ada@x.org'",
        "<ada@x.org",
        "ada@x.org>",
        "Lovelace <ada@x.org",
        "Lovelace ada@x.org>",
        "Ada (ada@x.org)",
        "Ada[ada@x.org]",
        "ada@x.org <>",
        "Ada ada@x.org",
        "ada@x.org Ada",
        "ada@x.org ada@x.org",
        "ada@x.org,",
        "ada@x.org;",
        "Ada,ada@x.org",
        "mailto:ada@x.org",
        "Ada <mailto:ada@x.org>",
        "Ada <MAILTO:ada@x.org>",
        "Ada <ada@x.org.>",
        "Ada <\"ada\"@x.org>",
        "Ada <ada @ x.org>",
        "Ada ada @x.org",
        "Ada <ada@[x.org]>",
        "Ada <other@y.org> <ada@x.org>",
        "Ada <other@y.org> ada@x.org",
        "Ada <nobody> ada@x.org",
        "“ada@x.org”",
        "*ada＠x.org*!",
    ];

    #[test]
    fn an_address_is_the_same_whatever_is_put_around_it() {
        for disguised in DISGUISED {
            for clear in ["Ada <ada@x.org>", "ada@x.org", "Somebody <ADA@X.ORG>"] {
                let (one, other) = (person(clear), person(disguised));
                assert!(one.is_same(&other) && other.is_same(&one), "{clear} {disguised}");
                assert_eq!(distinct([&one, &other]), 1, "{clear} {disguised}");
            }
            assert!(!person("S").is_same(&person(disguised)) && !person("Eve <eve@x.org>").is_same(&person(disguised)));
        }
        // Nor does one who has two addresses speak for two.
        let [both, one, other] = ["Ada <ada@x.org> <eve@x.org>", "ada@x.org", "eve@x.org"].map(person);
        assert_eq!((distinct([&one, &other, &both]), distinct([&one, &other])), (1, 2));
    }

    #[test]
    fn only_what_everybody_reads_alike_is_clear() {
        for clear in [
            "Ada",
            "Lovelace, Ada (work)",
            "O'Brien",
            "ada@x.org",
            "ADA@X.ORG",
            "ada+tomb@x.org",
            "a.d_a-l@x-y.org",
            "Ada <ada@x.org>",
            "\"Lovelace, Ada\" < ada@x.org >",
            "<ada@x.org>",
            "<ada@x.org> Ada",
            "ada@x.org <ada@x.org>",
            "root <root>",
            "Ada <>",
            "Ädå <ädå@bücher.example>",
        ] {
            assert!(Person::is_clear(clear), "{clear}");
        }
        // Quotes are not read at all.
        let quoted = ["\"ada@x.org\"", "'ada@x.org'", "“ada@x.org”", "Ada <\"ada\"@x.org>"];
        for disguised in DISGUISED {
            assert_eq!(Person::is_clear(disguised), quoted.contains(&disguised), "{disguised}");
        }
        for unclear in
            ["Ada <", "> Ada", "Ada <<ada@x.org>>", "Ada <ada@x.org> <>", "@", "ada@", "eve@x.org <ada@x.org>"]
        {
            assert!(!Person::is_clear(unclear), "{unclear}");
        }
    }

    #[test]
    fn cases_fold_in_every_script() {
        for (one, other) in [
            ("Strauß", "STRAUSS"),
            ("STRAUẞ", "strauss"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευς"),
            ("ΟΔΥΣΣΕΥΣ", "οδυσσευσ"),
            ("Ångström", "A\u{30a}NGSTRO\u{308}M"),
            ("ﬁnn", "FINN"),
            ("ЖУКОВ", "жуков"),
            ("ıSIK", "isik"),
        ] {
            assert_eq!(person(one), person(other), "{one} {other}");
        }
        assert_ne!(person("Жуков"), person("Xуков"));
    }

    #[test]
    fn nobody_is_no_person() {
        for nobody in ["", " ", "<>", "\u{200b}", "\"\"", " < > ", "\n\t"] {
            assert_eq!(Person::parse(nobody), None, "{nobody:?}");
        }
    }

    #[test]
    fn only_who_cannot_be_the_same_counts_twice() {
        let count = |actors: &[&str]| distinct(&actors.iter().map(|actor| person(actor)).collect::<Vec<_>>());
        assert_eq!(count(&[]), 0);
        assert_eq!(count(&["Ada", "ADA", " ada "]), 1);
        assert_eq!(count(&["Ada <a@x>", "Ada <b@x>"]), 2);
        assert_eq!(count(&["Ada <a@x>", "Ada <b@x>", "Ada"]), 2);
        assert_eq!(count(&["Ada <a@x>", "a@x", "Bob <A@X>", "Bob"]), 1);
        assert_eq!(count(&["Ada", "Bob", "Cy <c@x>"]), 3);
    }

    /// Actors that often collide: few names and addresses in many spellings.
    fn actor() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec!["", "Ada", "ADA", "ada ", "Bob", "\"bob\"", "Ｂob", "Strauß", "strauss"]);
        let email = prop::sample::select(vec!["", "<a@x>", "<A@x >", "< b@x>", "a@x", "<>", "(b@x", "mailto:a@x."]);
        (name, email).prop_map(|(name, email)| format!("{name} {email}"))
    }

    proptest! {
        #[test]
        fn to_be_the_same_is_mutual(one in actor(), other in actor()) {
            if let (Some(one), Some(other)) = (Person::parse(&one), Person::parse(&other)) {
                prop_assert!(one.is_same(&one));
                prop_assert_eq!(one.is_same(&other), other.is_same(&one));
                prop_assert_eq!(distinct([&one, &other]), if one.is_same(&other) { 1 } else { 2 });
            }
        }

        #[test]
        fn addresses_divide_people_into_classes(actors in prop::collection::vec(actor(), 3)) {
            let people: Vec<Person> = actors.iter().filter_map(|actor| Person::parse(actor)).collect();
            if let [one, two, three] = &people[..]
                && people.iter().all(|person| !person.emails.is_empty())
                && one.is_same(two) && two.is_same(three)
            {
                prop_assert!(one.is_same(three));
            }
        }

        #[test]
        fn whoever_counts_is_different_from_all_others_who_do(actors in prop::collection::vec(actor(), 0..8)) {
            let people: Vec<Person> = actors.iter().filter_map(|actor| Person::parse(actor)).collect();
            // The largest set of people who are pairwise different, by trying all.
            let largest = (0_u32..1 << people.len()).filter_map(|chosen| {
                let chosen: Vec<&Person> =
                    people.iter().enumerate().filter(|(number, _)| chosen >> number & 1 == 1).map(|(_, one)| one).collect();
                let different = chosen.iter().enumerate().all(|(at, one)| chosen[..at].iter().all(|other| !one.is_same(other)));
                different.then_some(chosen.len())
            });
            let counted = distinct(&people);
            prop_assert!(counted <= largest.max().unwrap_or_default());
            prop_assert_eq!(counted == 0, people.is_empty());
        }

        #[test]
        fn any_text_is_survived_and_folding_ends(text: String, other: String) {
            let folded = fold(&text);
            prop_assert_eq!(fold(&folded), folded.clone());
            prop_assert_eq!(Person::parse(&text), Person::parse(&folded));
            if let (Some(one), Some(other)) = (Person::parse(&text), Person::parse(&other)) {
                prop_assert_eq!(one.is_same(&other), other.is_same(&one));
            }
        }
    }
}
