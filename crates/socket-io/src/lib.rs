//! Front end: Engine.IO (revisions 3 and 4) with Socket.IO (revisions 4 and 5) on top.
//!
//! Start with `codec`: the bytes of both layers, without I/O.

pub mod codec;
