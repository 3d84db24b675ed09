//! Six words that make a password: 2048 short words, 11 bits each, 66 bits in all.
//!
//! The words are common, four to seven letters long, and chosen to look and sound unlike each
//! other, because somebody will write them down by hand and type them on a telephone.

use super::Password;
use rustix::rand::{GetRandomFlags, getrandom};
use std::io;
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// Is how many words there are; a power of two, so that none is likelier than another.
const WORDS_COUNT: usize = 2048;
/// Is how many words make a password.
const WORDS_IN_PASSWORD: usize = 6;

/// Is the words, in order.
static WORDS: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| include_str!("../../data/words.txt").lines().collect());

/// Makes a password of six words from the kernel's random numbers.
///
/// # Errors
/// When the kernel gives none.
pub(crate) fn generate() -> io::Result<Password> {
    let mut bytes = Zeroizing::new([0_u8; 2 * WORDS_IN_PASSWORD]);
    let mut filled = 0;
    while filled < bytes.len() {
        let Some(rest) = bytes.get_mut(filled..) else {
            break;
        };
        filled += getrandom(rest, GetRandomFlags::empty())?;
    }
    let mut numbers = Zeroizing::new([0_u16; WORDS_IN_PASSWORD]);
    for (number, pair) in numbers.iter_mut().zip(bytes.chunks_exact(2)) {
        if let [low, high] = pair {
            *number = u16::from_le_bytes([*low, *high]);
        }
    }
    let text = Zeroizing::new(of_numbers(&numbers));
    Password::parse(text.as_bytes()).map_err(|unfit| io::Error::other(unfit.phrase()))
}

/// Writes the words that numbers stand for, with a hyphen between them; of each number 11 bits count.
fn of_numbers(numbers: &[u16; WORDS_IN_PASSWORD]) -> String {
    let longest = 7;
    let mut out = String::with_capacity(WORDS_IN_PASSWORD * (longest + 1));
    for number in numbers {
        if !out.is_empty() {
            out.push('-');
        }
        out.push_str(
            WORDS
                .get(usize::from(*number) % WORDS_COUNT)
                .copied()
                .unwrap_or_default(),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_list_gives_sixty_six_bits() {
        assert_eq!(WORDS.len(), WORDS_COUNT);
        let distinct: BTreeSet<&str> = WORDS.iter().copied().collect();
        assert_eq!(distinct.len(), WORDS_COUNT, "a word is there twice");
        assert!(WORDS_COUNT.ilog2() as usize * WORDS_IN_PASSWORD >= 66);
        for word in WORDS.iter() {
            assert!(
                (4..=7).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()),
                "{word:?}"
            );
        }
    }

    #[test]
    fn numbers_become_words() {
        let first = WORDS[0];
        let last = WORDS[WORDS_COUNT - 1];
        assert_eq!(
            of_numbers(&[0, 2047, 2048, 4095, 0, 0xffff]),
            [first, last, first, last, first, last].join("-")
        );
    }

    #[test]
    fn two_passwords_differ() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert!(!one.is(&two));
        for password in [&one, &two] {
            let words: Vec<&str> = password.expose().split('-').collect();
            assert_eq!(words.len(), WORDS_IN_PASSWORD);
            assert!(words.iter().all(|word| WORDS.contains(word)));
        }
    }
}
