//! Who an actor is, however the name is spelt.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;

/// A person, as an actor names one: `name <e-mail>`, a bare e-mail address, or a name.
///
/// Where in doubt, two spellings are one person: nobody gains a second voice by a way to write the first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    name: String,
    email: Option<String>,
}

impl Person {
    /// Returns who `actor` is; `None` where nobody is named.
    pub fn parse(actor: &str) -> Option<Self> {
        let folded = fold(actor);
        let (name, email) = match divide(&folded) {
            Some((name, email)) => (name, Some(email.trim().to_owned()).filter(|email| !email.is_empty())),
            None if is_address(&folded) => (String::new(), Some(folded)),
            None => (folded, None),
        };
        let name =
            tidy(name.trim_matches(|character: char| character.is_whitespace() || matches!(character, '"' | '\'')));
        (email.is_some() || !name.is_empty()).then_some(Self { name, email })
    }

    /// Returns whether two actors are one person: by the e-mail address, or where either lacks one, by the name.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.email, &other.email) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.name == other.name,
        }
    }

    /// Returns whether this is only a name, and one that `other` goes by besides an e-mail address.
    pub(super) fn is_name_of(&self, other: &Self) -> bool {
        self.email.is_none() && other.email.is_some() && self.name == other.name
    }
}

/// Returns how many of these can only be different persons: the e-mail addresses, and the names without one that none of
/// those with one has.
pub fn distinct<'a>(persons: impl IntoIterator<Item = &'a Person>) -> usize {
    let persons: BTreeSet<&Person> = persons.into_iter().collect();
    let emails: BTreeSet<&str> = persons.iter().filter_map(|person| person.email.as_deref()).collect();
    let names = persons.iter().filter(|person| person.email.is_none());
    emails.len() + names.filter(|name| !persons.iter().any(|person| name.is_name_of(person))).count()
}

/// Divides `name <e-mail>` into the two; what follows the address belongs to the name.
fn divide(text: &str) -> Option<(String, &str)> {
    let (before, rest) = text.split_once('<')?;
    let (email, after) = rest.split_once('>')?;
    Some((format!("{before} {after}"), email))
}

fn is_address(text: &str) -> bool {
    let blank = text.contains(char::is_whitespace);
    !blank && text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
}

/// Returns `text` as it is compared: compatible forms of a character, cases and kinds of white space are one, and what
/// nobody sees is not there.
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
    let visible = text.nfkd().filter(|character| !is_invisible(*character));
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
            ["Ada", "Ada Lovelace <ada@example.com>", "Grace <grace@example.org>", "ada@example.org.", "AdaLovelace"]
        {
            assert!(!ada.is_same(&person(other)), "{other}");
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
        let email = prop::sample::select(vec!["", "<a@x>", "<A@x >", "< b@x>", "a@x", "<>"]);
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
                && people.iter().all(|person| person.email.is_some())
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
