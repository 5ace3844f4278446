//! Whether a session may open: tokens first, then the backends that want to be asked.

use std::{pin::Pin, sync::Arc, time::Duration};

use crate::{
    ActionInfo, Answer, Backend, Branch, Call, CallError, Identity, Json, Listener, Peer, Realm,
    RefuseReason, RoomName, SessionId, SessionRef, TokenError, TokenSource, TokenVerifier,
    Verified,
};

/// A future that a backend works on.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A client that wants a session, as tokens and backends see it.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// The id that the session will have.
    pub id: SessionId,
    /// Where it came in.
    pub listener: Arc<Listener>,
    /// The other end.
    pub peer: Peer,
    /// Whether the link is encrypted.
    pub is_tls: bool,
    /// The request target with its query, as it was sent: `/token-abc?x=1`. Empty where the protocol has none.
    pub target: String,
    /// Headers in order, names in lower case. Empty where the protocol has none.
    pub headers: Vec<(String, String)>,
    /// Who a token says it is.
    pub identity: Option<Arc<Identity>>,
    /// Its part of the listener, where it is not the listener's own.
    pub branch: Option<Arc<Branch>>,
    /// What the client says beside target and headers, in protocols whose openings carry something.
    pub payload: Option<Json>,
}

impl OpenRequest {
    /// Its part of the listener.
    #[must_use]
    pub fn branch(&self) -> &Arc<Branch> {
        self.branch
            .as_ref()
            .unwrap_or_else(|| self.listener.branch())
    }

    /// The realm that its session would live in.
    #[must_use]
    pub fn realm(&self) -> &Arc<Realm> {
        self.branch().realm()
    }

    /// The first header of that name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The decoded value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(key) == name).then(|| percent_decoded(value))
        })
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.headers.iter().filter(|(known, _)| known == "cookie");
        cookies
            .flat_map(|(_, value)| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find_map(|(key, value)| (key == name).then_some(value.trim_matches('"')))
    }

    /// The token in the first of `sources` that has one.
    #[must_use]
    pub fn token(&self, sources: &[TokenSource]) -> Option<String> {
        sources.iter().find_map(|source| match source {
            TokenSource::Bearer => {
                let (scheme, token) = self.header("authorization")?.split_once(' ')?;
                let is_bearer = scheme.eq_ignore_ascii_case("bearer");
                is_bearer.then(|| token.trim().to_owned())
            }
            TokenSource::Header(name) => self.header(name).map(str::to_owned),
            TokenSource::Query(name) => self.query(name),
            TokenSource::Cookie(name) => self.cookie(name).map(str::to_owned),
            TokenSource::Payload => self.payload.as_ref().and_then(token_in),
        })
    }
}

/// The member `token` of an object; `Bearer` in front of it is taken away.
#[must_use]
pub fn token_in(payload: &Json) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Payload {
        token: String,
    }
    let payload: Payload = payload.decode().ok()?;
    let token = payload.token.trim();
    let bare = token
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(bare.map_or(token, |(_, bare)| bare.trim()).to_owned())
}

/// The bytes that `%41` and `+` stand for in a query; what is no UTF-8 then is replaced.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, behind @ ..]) => {
                let digits = [*high, *low].map(|digit| char::from(digit).to_digit(16));
                if let [Some(high), Some(low)] = digits {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                    rest = behind;
                } else {
                    bytes.push(b'%');
                }
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a backend gives a session that it lets in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Who it is; takes the place of what a token said.
    pub identity: Option<Arc<Identity>>,
    /// Rooms to be in from the start.
    pub join: Vec<RoomName>,
    /// What the client itself may know of its session, for protocols that tell it (socket.red's validators).
    pub public: Option<Json>,
    /// Time between pings of this session, for protocols that ping; in place of the listener's.
    pub ping: Option<Duration>,
}

/// Why a session does not open. The texts are for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The token that is required is missing or no good.
    Token(TokenError),
    /// A backend knows nobody of that name: HTTP 401.
    Nobody,
    /// A backend failed: HTTP 500.
    Failed {
        /// Why.
        text: String,
        /// What else the client is to know, for protocols whose refusals carry something.
        data: Option<Json>,
    },
    /// No backend could be asked, with this text: HTTP 503.
    Unavailable(String),
}

impl Refused {
    /// A backend failed with this text.
    #[must_use]
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed {
            text: text.into(),
            data: None,
        }
    }

    /// Under which reason it is counted.
    #[must_use]
    pub fn reason(&self) -> RefuseReason {
        match self {
            Self::Token(_) => RefuseReason::Token,
            Self::Nobody => RefuseReason::Nobody,
            Self::Failed { .. } => RefuseReason::BackendFailed,
            Self::Unavailable(_) => RefuseReason::BackendUnavailable,
        }
    }
}

/// How a session ended, as backends are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionEnd {
    /// The WebSocket close code: 1005 for none, 1006 for a lost link; protocols without codes use these two.
    pub code: u16,
    /// The text that came with it.
    pub text: String,
}

impl SessionEnd {
    /// The link was lost.
    pub const LOST: Self = Self {
        code: 1006,
        text: String::new(),
    };

    /// It was closed without giving a reason.
    pub const CLOSED: Self = Self {
        code: 1005,
        text: String::new(),
    };
}

/// A session's dealings with its backends, from the question whether it may open to its end. Dropping it tells them that
/// it has ended, also when it never opened after all.
pub struct Visit {
    backend: Arc<dyn Backend>,
    id: SessionId,
    end: SessionEnd,
}

impl Visit {
    /// Says how the session ended, where that is more than a lost link.
    pub fn ends(&mut self, end: SessionEnd) {
        self.end = end;
    }
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Visit").field(&self.id).finish()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.backend.close(self.id, &self.end);
    }
}

/// A client that may have a session.
#[derive(Debug, Default)]
pub struct Guest {
    visit: Option<Box<Visit>>,
    accepted: Accepted,
    /// The site of its page, where that is asked for.
    site: Option<Box<str>>,
    /// Whether it is in that site's room whoever it is.
    is_on_site: bool,
}

impl Guest {
    /// One that is in the room of the site of its page, if it has one, and nothing else.
    #[must_use]
    pub fn on_site(site: Option<Box<str>>) -> Self {
        Self {
            site,
            is_on_site: true,
            ..Self::default()
        }
    }

    /// What the client may know of its session.
    #[must_use]
    pub fn public(&self) -> Option<&Json> {
        self.accepted.public.as_ref()
    }

    /// Time between pings that a backend wants for it.
    #[must_use]
    pub fn ping(&self) -> Option<Duration> {
        self.accepted.ping
    }

    /// Who tokens or backends have said it is.
    #[must_use]
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.accepted.identity.as_ref()
    }

    /// The same as who a token says it is, unless it is somebody already.
    #[must_use]
    pub fn or_identity(mut self, identity: Option<Arc<Identity>>) -> Self {
        self.accepted.identity = self.accepted.identity.or(identity);
        self
    }

    /// Makes the open session what tokens and backends said, and lets out what backends have sent to it already. Hold what
    /// comes back as long as the session is open.
    #[must_use]
    pub fn enter(self, session: &SessionRef) -> Option<Box<Visit>> {
        if let Some(site) = self.site {
            session.opened_from(site, self.is_on_site);
        }
        if self.accepted.identity.is_some() {
            session.identify(self.accepted.identity);
        }
        for room in &self.accepted.join {
            if let Err(error) = session.put_into(room) {
                tracing::debug!(session = %session.id(), %room, %error, "not put into a room");
            }
        }
        if let Some(visit) = &self.visit {
            visit.backend.opened(session);
        }
        self.visit
    }
}

/// What a listener asks of tokens.
#[derive(Clone)]
pub struct Authentication {
    /// Makes identities of tokens.
    pub verifier: Arc<dyn TokenVerifier>,
    /// Where openings carry them, the first source first.
    pub sources: Vec<TokenSource>,
    /// Whether a session without a good token is refused. A bad one is refused either way.
    pub required: bool,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication")
            .field("sources", &self.sources)
            .field("required", &self.required)
            .finish_non_exhaustive()
    }
}

/// Says on which site the page of a client is.
pub trait Sites: Send + Sync {
    /// The site of the page that `request` comes from, if it comes from one.
    fn site(&self, request: &OpenRequest) -> Option<String>;
}

/// Decides which clients get a session on a listener.
#[derive(Clone)]
pub struct Reception {
    backend: Arc<dyn Backend>,
    authentication: Option<Authentication>,
    sites: Option<Arc<dyn Sites>>,
}

/// Lets everybody in and answers no call.
impl Default for Reception {
    fn default() -> Self {
        Self::new(Arc::new(NoBackend), None)
    }
}

impl std::fmt::Debug for Reception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reception")
            .field("authentication", &self.authentication)
            .finish_non_exhaustive()
    }
}

/// Knows no action.
struct NoBackend;

impl Backend for NoBackend {
    fn call(&self, _: &SessionRef, _: Call<'_>) -> Answer {
        Answer::Now(Err(CallError::UnknownAction))
    }

    fn inputs(&self, _: &Call<'_>) -> Vec<(String, Json)> {
        Vec::new()
    }

    fn describe(&self) -> Arc<[ActionInfo]> {
        Arc::new([])
    }

    fn has_input(&self, _: &str) -> bool {
        false
    }

    fn documentation(&self) -> Json {
        Json::EMPTY_OBJECT
    }
}

/// What the reception says, at once or later.
pub enum Received {
    /// At once.
    Now(Result<Guest, Refused>),
    /// Later. Dropping it gives the question up.
    Later(Later<Result<Guest, Refused>>),
}

impl Reception {
    /// Asks `authentication` first, if there is any, then `backend`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>, authentication: Option<Authentication>) -> Self {
        Self {
            backend,
            authentication,
            sites: None,
        }
    }

    /// From now on whoever is let in is in the room of the site of its page, where nobody is asked for a token.
    #[must_use]
    pub fn with_sites(self, sites: Arc<dyn Sites>) -> Self {
        Self {
            sites: Some(sites),
            ..self
        }
    }

    /// The same with other places in which openings carry their token.
    #[must_use]
    pub fn with_sources(mut self, sources: Vec<TokenSource>) -> Self {
        if let Some(authentication) = &mut self.authentication {
            authentication.sources = sources;
        }
        self
    }

    /// What answers the calls of those who are let in.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// What is asked of tokens, if anything.
    #[must_use]
    pub fn authentication(&self) -> Option<&Authentication> {
        self.authentication.as_ref()
    }

    /// The site of the page of a client in whose room it is without a token.
    #[must_use]
    pub fn site(&self, request: &OpenRequest) -> Option<Box<str>> {
        let sites = self
            .sites
            .as_ref()
            .filter(|_| self.authentication.is_none());
        sites?.site(request).map(Box::from)
    }

    /// Whether everybody comes in unasked, so that no request need be kept.
    #[must_use]
    pub fn is_open_door(&self) -> bool {
        let hooks = self.backend.hooks();
        self.authentication.is_none() && !hooks.open && !hooks.close
    }

    /// Whether the client may have a session.
    #[must_use]
    pub fn receive(&self, request: OpenRequest) -> Received {
        if self.is_open_door() {
            return Received::Now(Ok(Guest::on_site(self.site(&request))));
        }
        let checked = match &self.authentication {
            None => Checked::Now(Ok(None)),
            Some(authentication) => authentication.check(&request),
        };
        self.receive_checked(request, checked)
    }

    /// The same for a client that gives its token apart from its opening.
    #[must_use]
    pub fn receive_bearer(&self, request: OpenRequest, token: &str) -> Received {
        let checked = match &self.authentication {
            None => Checked::Now(Ok(None)),
            Some(authentication) => authentication.verify(token, &request),
        };
        self.receive_checked(request, checked)
    }

    /// The same for a client that has still to give its token: only the backends are asked.
    #[must_use]
    pub fn receive_nobody(&self, request: OpenRequest) -> Received {
        self.ask_backends(request, None)
    }

    /// The same for a client who is known already: only the backends are asked.
    #[must_use]
    pub fn receive_as(&self, request: OpenRequest, identity: Option<Arc<Identity>>) -> Received {
        self.ask_backends(request, identity)
    }

    fn receive_checked(&self, request: OpenRequest, checked: Checked) -> Received {
        match checked {
            Checked::Now(Err(error)) => Received::Now(Err(Refused::Token(error))),
            Checked::Now(Ok(identity)) => self.ask_backends(request, identity),
            Checked::Later(verifying) => {
                let reception = self.clone();
                Received::Later(Box::pin(async move {
                    let identity = verifying.await.map_err(Refused::Token)?;
                    match reception.ask_backends(request, identity) {
                        Received::Now(result) => result,
                        Received::Later(asking) => asking.await,
                    }
                }))
            }
        }
    }

    fn ask_backends(&self, mut request: OpenRequest, identity: Option<Arc<Identity>>) -> Received {
        let is_on_site = self.authentication.is_none();
        let site = match &self.authentication {
            Some(asked) => asked.verifier.site(&request).map(Box::from),
            None => self.site(&request),
        };
        request.identity.clone_from(&identity);
        let from_token = Accepted {
            identity,
            ..Accepted::default()
        };
        let hooks = self.backend.hooks();
        if !hooks.open && !hooks.close {
            return Received::Now(Ok(Guest {
                visit: None,
                accepted: from_token,
                site,
                is_on_site,
            }));
        }
        // Made before the question is asked: who gives up waiting has left, and the backends hear of it.
        let visit = Box::new(Visit {
            backend: Arc::clone(&self.backend),
            id: request.id,
            end: SessionEnd::LOST,
        });
        let asking = self.backend.open(Arc::new(request));
        Received::Later(Box::pin(async move {
            let mut accepted = asking.await?;
            accepted.identity = accepted.identity.or(from_token.identity);
            Ok(Guest {
                visit: Some(visit),
                accepted,
                site,
                is_on_site,
            })
        }))
    }
}

enum Checked {
    Now(Result<Option<Arc<Identity>>, TokenError>),
    Later(Later<Result<Option<Arc<Identity>>, TokenError>>),
}

impl Authentication {
    fn check(&self, request: &OpenRequest) -> Checked {
        let metrics = request.listener.metrics();
        let Some(token) = request.token(&self.sources) else {
            if !self.required {
                return Checked::Now(Ok(None));
            }
            let error = TokenError {
                code: TokenError::MISSING,
                message: "a token is required".to_owned(),
            };
            metrics.token(Some(&error));
            return Checked::Now(Err(error));
        };
        self.verify(&token, request)
    }

    fn verify(&self, token: &str, request: &OpenRequest) -> Checked {
        let metrics = request.listener.metrics();
        match self.verifier.verify(token, request) {
            Verified::Now(result) => {
                metrics.token(result.as_ref().err());
                Checked::Now(result.map(Some))
            }
            Verified::Later(later) => {
                let listener = Arc::clone(&request.listener);
                Checked::Later(Box::pin(async move {
                    let result = later.await;
                    listener.metrics().token(result.as_ref().err());
                    result.map(Some)
                }))
            }
        }
    }
}
