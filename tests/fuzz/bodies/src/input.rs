//! From a fuzzer's bytes to choices and a payload.

/// Bytes that are spent on choices first; what is left is the payload. Choices beyond the end are 0.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Spends `data`.
    #[must_use]
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// One byte's choice.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number up to 65,535, small ones more often than not: of two bytes the first is an exponent.
    pub fn number(&mut self) -> usize {
        let bits = u32::from(self.byte() % 17);
        let low = usize::from(self.byte());
        (low * 0x0101) & ((1 << bits) - 1)
    }

    /// What has not been spent.
    #[must_use]
    pub fn payload(self) -> &'a [u8] {
        self.0
    }
}

/// Sizes of pieces, repeating themselves: at least 1 each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pieces {
    sizes: [usize; 3],
}

impl Pieces {
    pub(crate) fn chosen_by(input: &mut Input<'_>) -> Self {
        Self {
            sizes: [input.number(), input.number(), input.number()].map(|size| size.max(1)),
        }
    }

    /// One piece that holds everything.
    pub(crate) const WHOLE: Self = Self {
        sizes: [usize::MAX; 3],
    };

    /// Cuts `bytes`.
    pub(crate) fn of(self, mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut sizes = self.sizes.into_iter().cycle();
        std::iter::from_fn(move || {
            let size = sizes.next()?.min(bytes.len());
            let (piece, rest) = bytes.split_at(size);
            bytes = rest;
            (!piece.is_empty()).then_some(piece)
        })
    }
}
