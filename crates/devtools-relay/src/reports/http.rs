//! What is asked of the store over HTTP.

use std::{sync::Weak, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use polyport_core::{Json, RealmName, RefuseReason};
use polyport_net::{HttpAnswer, HttpRequest};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::{
    StoreError,
    database::{Added, Bounds, Columns, Database, DatabaseError, Removed},
    graphql,
    operations::{Body, Meaningless, Operation},
};
use crate::{
    access::Right,
    relay::{REPORT, ReportOptions, publish_on},
    shared::{Allowed, Relaying, Shared},
    wording::object,
};

/// Bodies that are read and worked on at once: each may be large.
const MOST_AT_ONCE: usize = 8;

/// So many bytes of a body that is too large are read and thrown away, so that its sender reads why it is refused.
const THROWN_AWAY: usize = 8 << 20;

/// Answers what is asked over HTTP.
pub(crate) struct ReportsDoor {
    at_once: Semaphore,
}

impl Default for ReportsDoor {
    fn default() -> Self {
        Self {
            at_once: Semaphore::new(MOST_AT_ONCE),
        }
    }
}

/// Where a request goes.
enum Way {
    Reports,
    GraphQl,
}

/// What a body is, by its type.
enum Kind {
    Json,
    Form,
    Other,
}

impl ReportsDoor {
    /// Answers a request that is no `GET`.
    pub(crate) async fn answer(&self, shared: &Shared, mut request: HttpRequest) -> HttpAnswer {
        if request.head.method == Method::OPTIONS {
            return preflight(&request.head.headers);
        }
        let path = request.head.uri.path().to_owned();
        let way = match (&request.head.method, path.as_str()) {
            (&Method::POST, "/") => Way::Reports,
            (&Method::POST, "/graphql") => Way::GraphQl,
            (method, path) => {
                let text = format!("Cannot {method} {path}");
                shared
                    .listener
                    .refused(request.peer.ip(), RefuseReason::HttpRequest);
                return page(StatusCode::NOT_FOUND, &text);
            }
        };
        let Some(relaying) = &shared.relaying else {
            return page(StatusCode::NOT_FOUND, "Not Found");
        };
        let access = match shared.access(&request).await {
            Ok(access) => access,
            Err(answer) => return *answer,
        };
        let Ok(_at_once) = self.at_once.acquire().await else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        };
        let most = match shared.listener.limits().message {
            0 => usize::MAX,
            most => most,
        };
        let Some(body) = read(&mut request, most).await else {
            return page(
                StatusCode::PAYLOAD_TOO_LARGE,
                "PayloadTooLargeError: request entity too large",
            );
        };
        let body = match kind(&request.head.headers) {
            Kind::Json if body.is_empty() => b"{}".to_vec(),
            Kind::Json => body,
            Kind::Form => form(&body),
            Kind::Other if matches!(way, Way::GraphQl) => b"{}".to_vec(),
            Kind::Other => return bare(StatusCode::NOT_FOUND),
        };
        let Ok(raw) = serde_json::from_slice::<&RawValue>(&body) else {
            return page(
                StatusCode::BAD_REQUEST,
                "SyntaxError: the body is not valid JSON",
            );
        };
        let Some(members) = Body::read(raw) else {
            return page(
                StatusCode::BAD_REQUEST,
                "SyntaxError: the body is no object",
            );
        };
        let asked = Asked {
            shared,
            relaying,
            realm: access.realm().clone(),
            is_page_elsewhere: shared.origins.check(&request.head.headers).is_err(),
            access,
        };
        match way {
            Way::Reports => asked.operate(&members).await,
            Way::GraphQl => asked.query(raw).await,
        }
    }
}

/// A request that is understood, and who has sent it.
struct Asked<'a> {
    shared: &'a Shared,
    relaying: &'a Relaying,
    realm: RealmName,
    /// It was sent by a page that may not open a connection: it may send reports, and read none.
    is_page_elsewhere: bool,
    access: Allowed,
}

impl Asked<'_> {
    fn may(&self, right: Right) -> bool {
        let is_near = right == Right::App || !self.is_page_elsewhere;
        is_near && self.access.has(self.shared, right)
    }

    async fn operate(&self, body: &Body<'_>) -> HttpAnswer {
        let operation = match body.operation() {
            Ok(operation) => operation,
            Err(Meaningless::Said(text)) => return error(&text),
            Err(Meaningless::Failed) => return failed(),
        };
        let right = match operation {
            Operation::Add(_) => Right::App,
            _ => Right::Report,
        };
        if !self.may(right) {
            return plain(StatusCode::FORBIDDEN, "Forbidden");
        }
        let realm = self.realm.as_str().to_owned();
        let reports = &self.relaying.reports;
        let done = match operation {
            Operation::List(query) => {
                let list = reports.run(move |database| database.list(&realm, &query));
                list.await.map(json)
            }
            Operation::Get(id) => {
                let found = reports.get(&self.realm, id).await;
                found.map(|report| json(report.unwrap_or_else(|| "{}".to_owned())))
            }
            Operation::Add(columns) => self.add(columns).await,
            Operation::Remove(id) => self.remove(id).await,
            Operation::Snapshot(instance) => self.snapshot(&instance).await,
            Operation::Recording(instance) => Ok(self.recording(&instance)),
        };
        done.unwrap_or_else(|error| unwell(&error))
    }

    async fn query(&self, body: &RawValue) -> HttpAnswer {
        if !self.may(Right::Report) {
            return plain(StatusCode::FORBIDDEN, "Forbidden");
        }
        let Ok(request) = serde_json::from_str::<graphql::Request>(body.get()) else {
            return self.queried(&graphql::Answer::nothing_asked());
        };
        let realm = self.realm.as_str().to_owned();
        let answer = self
            .relaying
            .reports
            .run(move |database: &mut Database| Ok(graphql::answer(database, realm, &request)));
        match answer.await {
            Ok(answer) => self.queried(&answer.unwrap_or_else(graphql::Answer::nothing_asked)),
            Err(error) => unwell(&error),
        }
    }

    fn queried(&self, answer: &graphql::Answer) -> HttpAnswer {
        let status = if answer.is_good {
            StatusCode::OK
        } else {
            StatusCode::BAD_REQUEST
        };
        let mut answer = with_body(
            status,
            "application/json; charset=utf-8",
            answer.body.clone(),
        );
        let no_store = HeaderValue::from_static("no-store");
        answer.headers_mut().insert(header::CACHE_CONTROL, no_store);
        answer
    }

    async fn add(&self, columns: Columns) -> Result<HttpAnswer, StoreError> {
        let realm = self.realm.as_str().to_owned();
        let bounds = self.relaying.options.reports.bounds();
        let added = self
            .relaying
            .reports
            .run(move |database| database.add(&realm, columns, bounds));
        let added = added.await?;
        announce(self.shared, &self.realm, &added);
        Ok(json(
            object(&[("id", Json::string(&added.id))])
                .as_str()
                .to_owned(),
        ))
    }

    async fn remove(&self, id: String) -> Result<HttpAnswer, StoreError> {
        let realm = self.realm.as_str().to_owned();
        let wanted = id.clone();
        let removed = self
            .relaying
            .reports
            .run(move |database| database.remove(&realm, &wanted));
        if !removed.await? {
            return Ok(error("No such report."));
        }
        let removed = Removed {
            realm: self.realm.as_str().to_owned(),
            id: id.clone(),
        };
        announce_removed(self.shared, &[removed]);
        Ok(json(
            object(&[("id", Json::string(&id))]).as_str().to_owned(),
        ))
    }

    async fn snapshot(&self, instance: &str) -> Result<HttpAnswer, StoreError> {
        let Some(snapshot) = self.relaying.relay.snapshot(&self.realm, instance) else {
            return Ok(error("No such instance."));
        };
        let columns = Columns::from([
            ("type", "STATE".to_owned()),
            ("title", snapshot.title),
            ("payload", snapshot.payload),
            ("instanceId", instance.to_owned()),
            ("exception", String::new()),
            ("appId", super::database::DEFAULT_APP.to_owned()),
        ]);
        self.add(columns).await
    }

    fn recording(&self, instance: &str) -> HttpAnswer {
        let Some(messages) = self.relaying.relay.recording(&self.realm, instance) else {
            return error("No such instance.");
        };
        let mut lines = String::new();
        for message in messages {
            // A line each, whatever white space an app has put between.
            let message = Json::parse(&message).map(|message| message.compact());
            lines.push_str(message.as_ref().map_or("null", Json::as_str));
            lines.push('\n');
        }
        with_body(StatusCode::OK, "application/x-ndjson", lines)
    }
}

impl ReportOptions {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            count: self.count,
            bytes: self.bytes,
            age: self.age,
        }
    }
}

/// Tells monitors of a report, and of those that had to make room for it.
fn announce(shared: &Shared, realm: &RealmName, added: &Added) {
    let mut data = vec![("id", Json::string(&added.id))];
    if let Some(title) = &added.title {
        data.push(("title", Json::string(title)));
    }
    data.push(("added", Json::string(&added.added)));
    let message = object(&[("type", Json::string("add")), ("data", object(&data))]);
    publish_on(shared, realm, REPORT, message);
    announce_removed(shared, &added.removed);
}

/// How often it is looked for reports that are too old.
const HOUSEKEEPING: Duration = Duration::from_secs(60);

/// Removes reports that are too old, until the listener is gone.
pub(crate) async fn forget_old(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let Some(relaying) = &shared.relaying else {
            return;
        };
        let bounds = relaying.options.reports.bounds();
        match relaying
            .reports
            .run(move |database| database.expire(bounds))
            .await
        {
            Ok(removed) => announce_removed(&shared, &removed),
            Err(error) => tracing::warn!(%error, "reports that are too old stay"),
        }
    }
}

/// Tells monitors of reports that are gone.
fn announce_removed(shared: &Shared, removed: &[Removed]) {
    for report in removed {
        let Ok(realm) = RealmName::new(&report.realm) else {
            continue;
        };
        let message = object(&[
            ("type", Json::string("remove")),
            ("id", Json::string(&report.id)),
        ]);
        publish_on(shared, &realm, REPORT, message);
    }
}

/// The whole body; nothing if it is too large or breaks off.
async fn read(request: &mut HttpRequest, most: usize) -> Option<Vec<u8>> {
    let mut body = request.body.take()?;
    let mut bytes = BytesMut::new();
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        length = length.saturating_add(data.len());
        if length <= most {
            bytes.extend_from_slice(&data);
        } else if length > most.saturating_add(THROWN_AWAY) {
            return None;
        }
    }
    (length <= most).then(|| bytes.into())
}

fn kind(headers: &HeaderMap) -> Kind {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    let essence = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    match essence {
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => Kind::Json,
        Some(kind) if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") => Kind::Form,
        _ => Kind::Other,
    }
}

/// A form's fields as an object of texts.
fn form(body: &[u8]) -> Vec<u8> {
    let mut text = String::from("{");
    for (index, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if index > 0 {
            text.push(',');
        }
        crate::codec::push_string(&mut text, &name);
        text.push(':');
        crate::codec::push_string(&mut text, &value);
    }
    text.push('}');
    text.into_bytes()
}

// --- answers ------------------------------------------------------------------------------------------------------------

fn with_body(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> HttpAnswer {
    let mut answer = bare(status);
    *answer.body_mut() = Full::new(body.into());
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// Pages everywhere send reports, and read what came of it.
fn bare(status: StatusCode) -> HttpAnswer {
    let mut answer = HttpAnswer::new(Full::default());
    *answer.status_mut() = status;
    let any = HeaderValue::from_static("*");
    answer
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    answer
}

fn json(body: String) -> HttpAnswer {
    with_body(StatusCode::OK, "application/json; charset=utf-8", body)
}

/// The original says so with status 200.
fn error(text: &str) -> HttpAnswer {
    json(object(&[("error", Json::string(text))]).as_str().to_owned())
}

fn plain(status: StatusCode, text: &'static str) -> HttpAnswer {
    with_body(status, "text/plain; charset=utf-8", text)
}

fn failed() -> HttpAnswer {
    plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

fn unwell(error: &StoreError) -> HttpAnswer {
    tracing::warn!(%error, "a request for reports failed");
    match error {
        StoreError::Busy => plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        StoreError::Failed(DatabaseError::TooMuch | DatabaseError::Sqlite(_)) => failed(),
    }
}

/// A small page, as express answers errors.
fn page(status: StatusCode, text: &str) -> HttpAnswer {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n<pre>{text}</pre>\n</body>\n</html>\n"
    );
    let mut answer = with_body(status, "text/html; charset=utf-8", body);
    let headers = answer.headers_mut();
    let value = HeaderValue::from_static;
    headers.insert(header::CONTENT_SECURITY_POLICY, value("default-src 'none'"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, value("nosniff"));
    answer
}

fn preflight(headers: &HeaderMap) -> HttpAnswer {
    let mut answer = bare(StatusCode::NO_CONTENT);
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let headers = answer.headers_mut();
    let value = HeaderValue::from_static;
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, value("POST"));
    headers.insert(header::VARY, value("Access-Control-Request-Headers"));
    if let Some(wanted) = wanted {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_become_objects() {
        let text = form(b"type=STATE&payload=%7B%7D&title=a+b%22");
        assert_eq!(text, br#"{"type":"STATE","payload":"{}","title":"a b\""}"#);
    }
}
