//! What each path answers.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use matchit::Router;
use prometheus::TextEncoder;

use crate::AdminState;

const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The exposition format's own type, so that Prometheus need not guess.
const METRICS_TEXT: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What can be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Route {
    Metrics,
    Healthz,
    Readyz,
}

pub(crate) fn router() -> Router<Route> {
    let mut router = Router::new();
    for (path, route) in [
        ("/metrics", Route::Metrics),
        ("/healthz", Route::Healthz),
        ("/readyz", Route::Readyz),
    ] {
        router
            .insert(path, route)
            .expect("the paths are constant and distinct");
    }
    router
}

/// Answers a request by its first line alone; a body is never read. For HEAD the server leaves the answer's body out.
pub(crate) async fn answer<B>(
    router: &Router<Route>,
    state: &AdminState,
    request: &Request<B>,
) -> Response<Full<Bytes>> {
    let Ok(found) = router.at(request.uri().path()) else {
        return text(
            StatusCode::NOT_FOUND,
            "not found: there is /metrics, /healthz and /readyz\n",
        );
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "method not allowed: use GET or HEAD\n",
        );
        let methods = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, methods);
        return response;
    }
    match found.value {
        Route::Metrics => metrics(state).await,
        Route::Healthz => text(StatusCode::OK, "ok\n"),
        Route::Readyz => readyz(state),
    }
}

async fn metrics(state: &AdminState) -> Response<Full<Bytes>> {
    let registry = state.registry().clone();
    // The process figures come from files, one of them as long as the list of open connections.
    let gathered = tokio::task::spawn_blocking(move || {
        TextEncoder::new().encode_to_string(&registry.gather())
    });
    let problem = match gathered.await {
        Ok(Ok(figures)) => {
            let mut response = text(StatusCode::OK, figures);
            response.headers_mut().insert(CONTENT_TYPE, METRICS_TEXT);
            return response;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::error!(problem, "metrics cannot be written");
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "metrics cannot be written; the log says why\n",
    )
}

fn readyz(state: &AdminState) -> Response<Full<Bytes>> {
    let reasons = state.readiness().reasons();
    if reasons.is_empty() {
        return text(StatusCode::OK, "ready\n");
    }
    text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, PLAIN_TEXT);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
