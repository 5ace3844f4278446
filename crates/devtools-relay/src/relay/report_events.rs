//! What monitors ask of the store of reports, and are told of it by themselves.

use std::sync::Arc;

use polyport_core::{Arg, Call, CallArgs, CallError, Json, Reply, SessionRef};
use serde_json::value::RawValue;

use super::{REPORT, events::tell};
use crate::{
    client::Client,
    codec::string,
    session::Waiting,
    shared::Relaying,
    wording::{self, Verb},
};

/// By which monitors ask for a report.
pub(super) const GET_REPORT: &str = "getReport";

/// What they hear if there is none.
const NO_REPORT: &str = "No such report";

impl Client {
    /// A monitor may not have reports.
    pub(super) fn refuse_report(
        &self,
        session: &SessionRef,
        data: Option<&RawValue>,
        waiting: &Waiting,
    ) {
        session.call_refused(&report_call(&report_args(data)), &CallError::Forbidden);
        waiting.failed(session, &wording::silent(self.generation(), Verb::Call));
    }

    pub(super) fn get_report(
        self: &Arc<Self>,
        relaying: &Relaying,
        session: &SessionRef,
        data: Option<&RawValue>,
        waiting: Waiting,
    ) {
        let args = report_args(data);
        let mut ticket = match session.begin_call(GET_REPORT) {
            Ok(ticket) => ticket,
            Err(error) => {
                session.call_refused(&report_call(&args), &error);
                let error = wording::call_error(self.generation(), &error);
                return waiting.failed(session, &error);
            }
        };
        ticket.show(session, &report_call(&args));
        let is_given = data.is_some_and(|it| !matches!(it.get(), "null" | "\"\"" | "false" | "0"));
        if !is_given {
            let answer = wording::object(&[("error", Json::string("No id specified."))]);
            let unsent = ticket.answer(&Ok(Reply::Value(answer.clone())));
            waiting.done(session, Some(answer.as_str()));
            return drop(unsent);
        }
        let id = data.and_then(string).map(std::borrow::Cow::into_owned);
        let realm = session.realm().name().clone();
        let reports = Arc::clone(&relaying.reports);
        let _inside = self.shared.runtime.enter();
        self.shared.tasks.spawn(async move {
            let found = match id {
                Some(id) => reports.get(&realm, id).await,
                None => Ok(None),
            };
            let (result, answer) = match found {
                Ok(Some(report)) => {
                    let shown = ticket.is_watched().then(|| Json::parse(&report).ok());
                    let shown = shown.flatten().map_or(Reply::Nothing, Reply::Value);
                    (Ok(shown), Ok(report))
                }
                Ok(None) => (
                    Err(CallError::Rejected(NO_REPORT.to_owned())),
                    Err(wording::named("NotFoundError", NO_REPORT)),
                ),
                Err(error) => (
                    Err(CallError::Unavailable),
                    Err(wording::named("UnavailableError", &error.to_string())),
                ),
            };
            let unsent = ticket.answer(&result);
            let Some(session) = unsent.session() else {
                return;
            };
            match answer {
                Ok(report) => waiting.done(session, Some(&report)),
                Err(error) => waiting.failed(session, &error),
            }
        });
    }
}

/// What a monitor asks for a report with.
fn report_args(data: Option<&RawValue>) -> Vec<Arg> {
    let id = data.map(|data| Arg::Json(Json::from(data)));
    id.into_iter().collect()
}

/// The same as a call.
fn report_call(args: &[Arg]) -> Call<'_> {
    Call {
        action: GET_REPORT,
        version: None,
        args: CallArgs::List(args),
    }
}

/// Sends a new member of `report` the list of reports.
pub(crate) fn list_reports(client: &Client, session: &SessionRef) {
    let Some(relaying) = &client.shared.relaying else {
        return;
    };
    let realm = session.realm().name().clone();
    let reports = Arc::clone(&relaying.reports);
    let (generation, codec) = (client.generation(), client.shared.options.codec);
    let session = session.downgrade();
    let _inside = client.shared.runtime.enter();
    client.shared.tasks.spawn(async move {
        let list = match reports.list(&realm).await {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!(%error, "a monitor gets no list of reports");
                return;
            }
        };
        let list = Json::parse(&format!(r#"{{"type":"list","data":{list}}}"#));
        if let (Some(session), Ok(list)) = (session.upgrade(), list) {
            tell(&session, generation, codec, REPORT, Some(list));
        }
    });
}
