//! Looking at Redis without taking part.

use std::time::Duration;

use super::{ConnectError, Deployment};

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerInfo {
    /// Where it is.
    pub address: String,
    /// Its version, if this user may know it.
    pub version: Option<String>,
    /// Its clock, as time since 1970, if this user may know it.
    pub clock: Option<Duration>,
}

impl Deployment {
    /// Connects once, as a gateway would, and asks who is there.
    ///
    /// # Errors
    /// When a gateway could not connect either.
    pub async fn probe(&self) -> Result<ServerInfo, ConnectError> {
        let found = self.find().await?;
        let mut connection = found.connect(|_| ()).await?;
        // Commands that the user may not give are no fault: a gateway does not need them.
        let info: Result<String, _> = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await;
        let clock: Result<(u64, u64), _> = redis::cmd("TIME").query_async(&mut connection).await;
        Ok(ServerInfo {
            version: info.ok().as_deref().and_then(version),
            clock: clock.ok().map(|(seconds, micros)| {
                Duration::from_secs(seconds) + Duration::from_micros(micros)
            }),
            address: found.address,
        })
    }
}

/// The version in what `INFO server` answers.
fn version(info: &str) -> Option<String> {
    let mut lines = info.lines();
    let found = lines.find_map(|line| line.strip_prefix("redis_version:"));
    found.map(|version| version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_line_of_many() {
        let info = "# Server\r\nredis_version:7.2.4\r\nredis_mode:standalone\r\n";
        assert_eq!(version(info).as_deref(), Some("7.2.4"));
        assert_eq!(version("# Server\r\n"), None);
    }
}
