//! Protocol Buffers as bytes: as much as OTLP needs.

/// Bytes behind which nothing follows.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// A message that is being written. What is empty or zero is left out, as the format wants it.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A number of whichever integer type; negative ones as their two's complement.
    pub(super) fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.key(field, VARINT);
            self.varint(number);
        }
    }

    pub(super) fn fixed64(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.key(field, FIXED64);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    pub(super) fn fixed32(&mut self, field: u32, number: u32) {
        if number != 0 {
            self.key(field, FIXED32);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Bytes or a text.
    pub(super) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.length_and(field, bytes);
        }
    }

    /// A message inside, also one that is empty.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let mut inside = Self::default();
        write(&mut inside);
        self.length_and(field, &inside.0);
    }

    /// A number inside of a choice of several, also zero.
    pub(super) fn chosen_number(&mut self, field: u32, number: u64) {
        self.key(field, VARINT);
        self.varint(number);
    }

    /// A text inside of a choice of several, also an empty one.
    pub(super) fn chosen_text(&mut self, field: u32, text: &str) {
        self.length_and(field, text.as_bytes());
    }

    fn length_and(&mut self, field: u32, bytes: &[u8]) {
        self.key(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn key(&mut self, field: u32, kind: u32) {
        self.varint(u64::from(field << 3 | kind));
    }

    fn varint(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                return self.0.push(low & 0x7f);
            }
            self.0.push(low | 0x80);
        }
    }
}

/// The fields of a message, by number: their numbers, or their bytes. Nothing of what is malformed.
pub(super) fn read(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let length = match u32::try_from(key & 7).ok()? {
            VARINT => {
                fields.push((key >> 3, Field::Number(read_varint(&mut bytes)?)));
                continue;
            }
            FIXED64 => 8,
            FIXED32 => 4,
            LENGTH => usize::try_from(read_varint(&mut bytes)?).ok()?,
            _ => return None,
        };
        let (field, rest) = bytes.split_at_checked(length)?;
        fields.push((key >> 3, Field::Bytes(field)));
        bytes = rest;
    }
    Some(fields)
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of <https://protobuf.dev/programming-guides/encoding/>.
    #[test]
    fn numbers_texts_and_messages_are_written_as_documented() {
        let mut message = Message::default();
        message.number(1, 150);
        message.bytes(2, b"testing");
        message.message(3, |inside| inside.number(1, 150));
        message.number(4, 0);
        message.bytes(5, b"");
        assert_eq!(
            message.into_bytes(),
            b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01"
        );
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.number(1, u64::MAX);
        message.fixed64(2, 1);
        message.fixed32(3, 2);
        message.chosen_number(4, 0);
        message.chosen_text(5, "");
        let bytes = message.into_bytes();
        let expected = vec![
            (1, Field::Number(u64::MAX)),
            (2, Field::Bytes(&[1, 0, 0, 0, 0, 0, 0, 0])),
            (3, Field::Bytes(&[2, 0, 0, 0])),
            (4, Field::Number(0)),
            (5, Field::Bytes(&[])),
        ];
        assert_eq!(read(&bytes), Some(expected));
        for cut in [1, 5, bytes.len() - 1] {
            assert_eq!(read(&bytes[..cut]), None, "{cut} bytes of it");
        }
        for bad in [
            &b"\x0b"[..],
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x0a\xff",
        ] {
            assert_eq!(read(bad), None);
        }
    }
}
