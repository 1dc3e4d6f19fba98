//! The armor around a signature, of which there is one form.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----\n";
const END: &str = "-----END SSH SIGNATURE-----\n";
const LINE_LENGTH: usize = 70;
const MAGIC: &[u8] = b"SSHSIG";

/// The longest armored signature, in bytes: several times what the largest key and certificate need.
const MAX_LENGTH: usize = 64 * 1024;

/// An SSH signature; prints armored, as `ssh-keygen` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

/// Text that is no armored signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not an armored SSH signature in the form that `ssh-keygen` writes")]
pub struct ArmorError;

impl Signature {
    /// Takes a signature as programs print it, whatever the length of their lines.
    pub fn from_output(text: &[u8]) -> Result<Self, ArmorError> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_LENGTH).ok_or(ArmorError)?;
        let inner = text.trim().strip_prefix(BEGIN.trim_end()).and_then(|rest| rest.strip_suffix(END.trim_end()));
        let digits: String = inner.ok_or(ArmorError)?.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(digits).map_err(|_| ArmorError)?;
        if bytes.starts_with(MAGIC) { Ok(Self(bytes)) } else { Err(ArmorError) }
    }

    /// Parses a signature that is armored in just the form that this type prints.
    pub fn parse(text: &str) -> Result<Self, ArmorError> {
        let signature = Self::from_output(text.as_bytes())?;
        if signature.to_string() == text { Ok(signature) } else { Err(ArmorError) }
    }

    /// Divides what is signed from the signature that stands below it.
    pub fn split(text: &str) -> Option<(&str, &str)> {
        let at = text.find(&format!("\n{BEGIN}"))? + 1;
        Some(text.split_at(at))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(BEGIN)?;
        let digits = STANDARD.encode(&self.0);
        for start in (0..digits.len()).step_by(LINE_LENGTH) {
            writeln!(formatter, "{}", &digits[start..digits.len().min(start + LINE_LENGTH)])?;
        }
        formatter.write_str(END)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> String {
        Signature([MAGIC, &[7; 200]].concat()).to_string()
    }

    #[test]
    fn a_signature_has_one_form() {
        let text = sample();
        let signature = Signature::parse(&text).expect("parses");
        assert_eq!(signature.to_string(), text);
        let digits = text.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let otherwise = format!("{BEGIN}{digits}\n\n{END}");
        assert_eq!(Signature::parse(&otherwise), Err(ArmorError));
        assert_eq!(Signature::from_output(otherwise.as_bytes()), Ok(signature));
    }

    #[test]
    fn damaged_armor_is_refused() {
        let text = sample();
        for (index, byte) in text.bytes().enumerate() {
            for other in [b'\n', b' ', b'=', b'-', b'A', 0xff] {
                let mut damaged = text.clone().into_bytes();
                damaged[index] = other;
                let parsed = std::str::from_utf8(&damaged).map_err(|_| ArmorError).and_then(Signature::parse);
                let same = other == byte;
                assert_eq!(parsed.as_ref().map(ToString::to_string) == Ok(text.clone()), same, "{index}: {other}");
            }
            assert_eq!(Signature::parse(&text[..index]), Err(ArmorError));
        }
        assert_eq!(Signature::parse(&format!("{text}\n")), Err(ArmorError));
        assert_eq!(Signature::parse(&text.replace('\n', "\r\n")), Err(ArmorError));
        let long = Signature([MAGIC, &vec![7; MAX_LENGTH]].concat()).to_string();
        assert_eq!(Signature::parse(&long), Err(ArmorError));
        assert_eq!(Signature::parse(&Signature(b"GPGSIG".to_vec()).to_string()), Err(ArmorError));
    }
}
