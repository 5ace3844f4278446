//! What the process may do.

use http::Method;
use polyport_net::{HttpClient, raise_open_file_limit};

use super::{Finding, Running, ask};
use crate::{config::Config, remote, run::OTHER_FILES};

const SUBJECT: &str = "open files";

/// The limit of open files against the sessions that there may be; that of the gateway that runs, if one does.
pub(super) async fn open_files(config: &Config, running: Running, client: &HttpClient) -> Finding {
    if running == Running::Yes {
        let limit = limit_of_gateway(config, client).await;
        return limit.map_or_else(
            || Finding::note(SUBJECT, "the gateway that runs does not tell its limit"),
            |limit| judge(config, Some(limit), "the gateway that runs may have"),
        );
    }
    judge(
        config,
        raise_open_file_limit(),
        "a process that is started from here may have",
    )
}

async fn limit_of_gateway(config: &Config, client: &HttpClient) -> Option<u64> {
    let url = remote::address(config.admin).ok()?;
    let answer = ask(client, Method::GET, &format!("{url}/metrics"))
        .await
        .ok()?;
    let text = std::str::from_utf8(&answer.body).ok()?;
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix("polyport_process_max_fds "));
    found?.parse().ok()
}

fn judge(config: &Config, limit: Option<u64>, who: &str) -> Finding {
    let Some(limit) = limit else {
        return Finding::good(SUBJECT, format!("{who} any number"));
    };
    if config.sessions == 0 {
        let text = format!(
            "{who} {limit}, which is all that bounds the sessions, since limits.sessions is 0"
        );
        return Finding::note(SUBJECT, text);
    }
    let needed = config.sessions as u64 + OTHER_FILES;
    if limit >= needed {
        return Finding::good(SUBJECT, format!("{who} {limit}, and {needed} are needed"));
    }
    Finding::wrong(
        SUBJECT,
        format!(
            "{who} {limit}, and limits.sessions = {} needs {needed}",
            config.sessions
        ),
        "raise the hard limit (LimitNOFILE= with systemd, --ulimit nofile= with Docker, ulimit -Hn in a shell), or lower limits.sessions",
    )
}
