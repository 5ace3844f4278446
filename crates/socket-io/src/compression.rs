//! Compression of polling bodies, for clients that take it.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::{HeaderMap, header};
use tokio::task::yield_now;

/// Others get their turn after so many bytes.
const PIECE: usize = 64 << 10;

/// A coding of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    /// With the envelope of zlib, as HTTP has it.
    Deflate,
}

impl Coding {
    /// The one that the request prefers, if it takes any.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let weight = |name| {
            let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
            let accepted = accepted.filter_map(|value| value.to_str().ok());
            weight(accepted, name)
        };
        let (gzip, deflate) = (weight("gzip"), weight("deflate"));
        if gzip > 0.0 && gzip >= deflate {
            Some(Self::Gzip)
        } else {
            (deflate > 0.0).then_some(Self::Deflate)
        }
    }

    /// Its name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// Quickly rather than well: it is for text, of which even that leaves little.
    pub(crate) async fn encode(self, body: &[u8]) -> io::Result<Bytes> {
        let out = Vec::with_capacity(body.len() / 4);
        let encoded = match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::fast());
                feed(&mut encoder, body).await?;
                encoder.finish()?
            }
            Self::Deflate => {
                let mut encoder = ZlibEncoder::new(out, Compression::fast());
                feed(&mut encoder, body).await?;
                encoder.finish()?
            }
        };
        Ok(encoded.into())
    }
}

async fn feed(encoder: &mut impl Write, body: &[u8]) -> io::Result<()> {
    for (index, piece) in body.chunks(PIECE).enumerate() {
        if index > 0 {
            yield_now().await;
        }
        encoder.write_all(piece)?;
    }
    Ok(())
}

/// How much a coding is wanted, from 0 to 1: by its name, else by the star.
fn weight<'a>(accepted: impl Iterator<Item = &'a str>, name: &str) -> f32 {
    let (mut by_name, mut by_star) = (None, None);
    for entry in accepted.flat_map(|value| value.split(',')) {
        let (coding, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let weight = match parameters.trim().split_once('=') {
            Some(("q" | "Q", weight)) => weight.parse().unwrap_or(0.0),
            _ => 1.0,
        };
        match coding.trim() {
            "*" => by_star = Some(weight),
            coding if coding.eq_ignore_ascii_case(name) => by_name = Some(weight),
            _ => {}
        }
    }
    by_name.or(by_star).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::{GzDecoder, ZlibDecoder};
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_a_client_takes() {
        let (gzip, deflate) = (Some(Coding::Gzip), Some(Coding::Deflate));
        for (accepted, expected) in [
            ("", None),
            ("br", None),
            ("identity", None),
            ("gzip", gzip),
            ("GZIP", gzip),
            ("deflate", deflate),
            ("gzip, deflate, br", gzip),
            ("deflate,gzip", gzip),
            ("deflate;q=1.0, gzip;q=0.5", deflate),
            ("gzip;q=0", None),
            ("gzip; q=0, deflate", deflate),
            ("gzip;q=much", None),
            ("*", gzip),
            ("*;q=0.1, gzip;q=0", deflate),
            ("x-gzip", None),
        ] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_static(accepted);
            headers.insert(header::ACCEPT_ENCODING, value);
            assert_eq!(Coding::of(&headers), expected, "{accepted}");
        }
        assert_eq!(Coding::of(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn bodies_return() {
        let body: Vec<u8> = (0..3 * PIECE).map(|at| (at / 7) as u8).collect();
        for length in [0, 1, PIECE, body.len()] {
            let body = &body[..length];
            let (mut from_gzip, mut from_deflate) = (Vec::new(), Vec::new());
            let gzip = Coding::Gzip.encode(body).await.unwrap();
            GzDecoder::new(&*gzip).read_to_end(&mut from_gzip).unwrap();
            let deflate = Coding::Deflate.encode(body).await.unwrap();
            ZlibDecoder::new(&*deflate)
                .read_to_end(&mut from_deflate)
                .unwrap();
            assert!(from_gzip == body && from_deflate == body, "{length}");
        }
    }
}
