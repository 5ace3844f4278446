//! msgpack as JavaScript's libraries have it: its extensions for what JSON does not have, and the dialect of npm
//! `msgpack-js`, from before the format knew binary.
//!
//! [`Reader`] takes a message apart, token by token, and allocates nothing. [`Values`] makes arguments of what it finds: JSON
//! as text, with what is binary beside it. [`Writer`] is the way back. Nothing here recurses over what somebody has sent, and
//! a length that lies costs nothing.
//!
//! **This crate must not know** what a message means: its users say which dialect is read, which form written, and what the
//! bounds are.

mod number;
mod reader;
mod text;
mod values;
mod writer;

pub use number::printed;
pub use reader::{Dialect, Reader, Token};
pub use text::{GAP, end_of_string, parts, unescaped, with_gaps};
pub use values::{Limits, Values};
pub use writer::{Form, Writer};

/// Why something cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No msgpack of that dialect, or none that JSON could say.
    #[error("{0}")]
    Malformed(&'static str),
    /// Beyond [`Limits::depth`].
    #[error("a value that nests too deep")]
    TooDeep,
    /// Beyond [`Limits::binaries`].
    #[error("too many binaries")]
    TooMany,
    /// Beyond [`Limits::binary_bytes`].
    #[error("too many bytes of binary")]
    TooLarge,
}

#[cfg(test)]
mod tests;
