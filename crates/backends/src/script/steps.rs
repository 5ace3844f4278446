//! What scripts are asked, and what they fetch, as steps of traces.

use polyport_core::{
    BackendRequest,
    trace::{Span, SpanKind, TRACEPARENT, TRACESTATE, TraceContext},
};

use super::{Shared, fetch::FetchResponse, host::Host};

impl Shared {
    /// A question, as a step of what runs now, or of the trace of a client's `opening`.
    pub(super) fn step(
        &self,
        request: BackendRequest,
        opening: Option<&TraceContext>,
    ) -> Option<Span> {
        let tracer = self.hub.tracer();
        let mut step = tracer.begin("ask", SpanKind::Internal, opening)?;
        step.set("polyport.backend", || self.name.to_string());
        step.set("polyport.request", || request.label());
        step.rename_by("polyport.backend");
        Some(step)
    }
}

impl Host {
    /// Where the call stands in its trace for which the script runs now, if it has one and is not answered yet.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        self.traces.borrow().get(&self.blamed.get()).cloned()
    }

    /// A request of the script, as a step of the call that it is made for; `headers` say so, unless the script says something else.
    pub(super) fn fetch_step(&self, headers: &mut Vec<(String, String)>) -> Option<Span> {
        let trace = self.trace()?;
        let tracer = self.hub.tracer();
        let step = tracer.begin_in("fetch", SpanKind::Client, Some(&trace))?;
        let is_parent = |name: &str| name.eq_ignore_ascii_case(TRACEPARENT);
        if !headers.iter().any(|(name, _)| is_parent(name)) {
            headers.push((TRACEPARENT.to_owned(), step.context().parent()));
            let state = step.context().state();
            headers.extend(state.map(|state| (TRACESTATE.to_owned(), state.to_owned())));
        }
        Some(step)
    }
}

/// What became of a request, as its step tells.
pub(super) fn note_fetched(step: Option<Span>, result: &Result<FetchResponse, String>) {
    let Some(mut step) = step else {
        return;
    };
    match result {
        Ok(response) => {
            let status = usize::from(response.status);
            step.set("http.response.status_code", || status);
        }
        Err(error) => step.fail(error.clone()),
    }
}
