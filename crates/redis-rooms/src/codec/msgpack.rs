//! msgpack in two dialects: as everybody knows it, with the extensions that JavaScript's libraries add, and as npm
//! `msgpack-js` had it before the format knew binary. Written is what both have in common.

mod number;
mod reader;
mod text;
mod values;
mod writer;

pub(super) use number::printed;
pub(super) use reader::{Dialect, Reader, Token};
pub(super) use text::{parts, unescaped, with_gaps};
pub(super) use values::Values;
pub(super) use writer::Writer;

#[cfg(test)]
pub(super) mod legacy;
#[cfg(test)]
mod tests;
