//! Encodings of texts. A decoder of all that the web knows would be a tenth of the Worker, for tables that no shop needs.

use std::io::{self, Read};

/// The characters that Windows-1252 has in place of control characters, from 0x80 on.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];
/// How much is decoded at a time, in bytes.
const PART: usize = if cfg!(test) { 6 } else { 16 * 1024 };

/// How the text of a file is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// UTF-16, the lower byte first.
    Utf16Le,
    /// UTF-16, the higher byte first.
    Utf16Be,
    /// Windows-1252, which is also read for ISO 8859-1.
    Windows1252,
}

impl Encoding {
    /// The encoding of a text: by its byte order mark or zero bytes UTF-16, else UTF-8 if it is valid, else Windows-1252. Reads to
    /// the end.
    pub fn detect(mut file: impl Read) -> io::Result<Self> {
        let (mut buffer, mut kept, mut is_first) = (vec![0; 64 * 1024], 0, true);
        loop {
            let space = buffer.get_mut(kept..).unwrap_or_default();
            let count = file.read(space)?;
            let bytes = buffer.get(..kept + count).unwrap_or_default();
            if std::mem::take(&mut is_first) {
                match *bytes {
                    [0xff, 0xfe, ..] => return Ok(Self::Utf16Le),
                    [0xfe, 0xff, ..] => return Ok(Self::Utf16Be),
                    [first, 0, ..] if first != 0 => return Ok(Self::Utf16Le),
                    [0, second, ..] if second != 0 => return Ok(Self::Utf16Be),
                    _ => {}
                }
            }
            match std::str::from_utf8(bytes) {
                Ok(_) => kept = 0,
                // A character may end in the next part.
                Err(error) if error.error_len().is_none() && count > 0 => {
                    let rest = error.valid_up_to()..kept + count;
                    kept = rest.len();
                    buffer.copy_within(rest, 0);
                }
                Err(_) => return Ok(Self::Windows1252),
            }
            if count == 0 {
                return Ok(Self::Utf8);
            }
        }
    }

    /// The name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
            Self::Windows1252 => "windows-1252",
        }
    }

    /// The text as UTF-8, without a byte order mark.
    pub(super) fn decoded<R: Read>(self, file: R) -> impl Read + use<R> {
        Decoded {
            file,
            encoding: self,
            odd: None,
            high: None,
            is_first: true,
            text: Vec::new(),
            shown: 0,
        }
    }
}

struct Decoded<R> {
    file: R,
    encoding: Encoding,
    /// The first byte of a unit of UTF-16 whose second is yet to come.
    odd: Option<u8>,
    /// The first half of a character of two units.
    high: Option<u16>,
    is_first: bool,
    /// The text that is decoded, of which the first bytes have been read.
    text: Vec<u8>,
    shown: usize,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.shown == self.text.len() {
            let mut bytes = Vec::with_capacity(PART);
            let count = self.file.by_ref().take(PART as u64).read_to_end(&mut bytes)?;
            self.shown = 0;
            self.text = self.decode(bytes);
            if count == 0 && self.text.is_empty() {
                return Ok(0);
            }
        }
        let rest = self.text.get(self.shown..).unwrap_or_default();
        let count = rest.len().min(out.len());
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        self.shown += count;
        Ok(count)
    }
}

impl<R> Decoded<R> {
    /// The next part of the text; no bytes are the end of the file.
    fn decode(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        let mut text = match self.encoding {
            Encoding::Utf8 => bytes,
            Encoding::Windows1252 => bytes.into_iter().map(windows).collect::<String>().into_bytes(),
            Encoding::Utf16Le => self.utf16(bytes, u16::from_le_bytes),
            Encoding::Utf16Be => self.utf16(bytes, u16::from_be_bytes),
        };
        if std::mem::take(&mut self.is_first) && text.starts_with("\u{feff}".as_bytes()) {
            text.drain(..3);
        }
        text
    }

    fn utf16(&mut self, bytes: Vec<u8>, unit: fn([u8; 2]) -> u16) -> Vec<u8> {
        let is_end = bytes.is_empty();
        let bytes: Vec<u8> = self.odd.take().into_iter().chain(bytes).collect();
        let (pairs, rest) = bytes.as_chunks();
        self.odd = rest.first().copied();
        let mut units: Vec<u16> = self
            .high
            .take()
            .into_iter()
            .chain(pairs.iter().copied().map(unit))
            .collect();
        if !is_end {
            self.high = units.pop_if(|unit| (0xd800..0xdc00).contains(unit));
        }
        let is_cut = is_end && self.odd.take().is_some();
        let text = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
        text.chain(is_cut.then_some(char::REPLACEMENT_CHARACTER))
            .collect::<String>()
            .into_bytes()
    }
}

fn windows(byte: u8) -> char {
    let place = usize::from(byte).checked_sub(0x80);
    let special = place.and_then(|place| WINDOWS.get(place)).copied();
    special.unwrap_or(char::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that gives a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(out.len());
            self.0.read(&mut out[..count])
        }
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn encodings_are_detected() {
        let long = format!("{}é", "x".repeat(64 * 1024 - 1));
        for (bytes, name) in [
            ("title;é".as_bytes().to_vec(), "UTF-8"),
            (long.into_bytes(), "UTF-8"),
            (b"title;\xe9".to_vec(), "windows-1252"),
            (utf16("\u{feff}title", u16::to_le_bytes), "UTF-16LE"),
            (utf16("\u{feff}title", u16::to_be_bytes), "UTF-16BE"),
            (utf16("title", u16::to_le_bytes), "UTF-16LE"),
            (Vec::new(), "UTF-8"),
            (b"\xc3".to_vec(), "windows-1252"),
        ] {
            assert_eq!(Encoding::detect(&*bytes).unwrap().name(), name);
        }
    }

    #[test]
    fn texts_are_decoded_wherever_they_are_cut() {
        let text = "\u{feff}a €ž, 灯 and 🍵🍵🍵\u{feff}";
        let unmarked = text.strip_prefix('\u{feff}').unwrap();
        let windows = b"\x80\x9e\xe9\x81".to_vec();
        for (encoding, bytes, expected) in [
            (Encoding::Utf8, text.as_bytes().to_vec(), unmarked),
            (Encoding::Utf16Le, utf16(text, u16::to_le_bytes), unmarked),
            (Encoding::Utf16Be, utf16(text, u16::to_be_bytes), unmarked),
            (Encoding::Windows1252, windows, "€žé\u{81}"),
            // Half a unit, and half a character.
            (Encoding::Utf16Le, b"a\0b".to_vec(), "a\u{fffd}"),
            (Encoding::Utf16Le, b"\x3c\xd8".to_vec(), "\u{fffd}"),
            (Encoding::Utf16Le, b"\x3c\xd8a\0".to_vec(), "\u{fffd}a"),
        ] {
            for step in [1, 2, 3, 100] {
                let mut found = String::new();
                let mut decoded = encoding.decoded(Slow(&bytes, step));
                decoded.read_to_string(&mut found).unwrap();
                assert_eq!(found, expected, "{encoding:?} by {step}");
            }
        }
    }
}
