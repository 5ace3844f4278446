//! Reading reports by GraphQL.

use std::sync::atomic::{AtomicUsize, Ordering};

use juniper::{
    EmptyMutation, EmptySubscription, FieldError, FieldResult, GraphQLEnum, ID, RootNode,
    Variables, execute_sync, graphql_object,
};
use serde::{Deserialize, Serialize};

use super::database::{Database, DatabaseError, MOST_ANSWERED};

/// Bytes of a query's text.
const LONGEST: usize = 32 << 10;

/// Braces within braces; each costs stack.
const DEEPEST: usize = 32;

/// Fields of reports that one query may look up.
const MOST_LOOKUPS: usize = 100_000;

/// A request.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    query: Option<String>,
    #[serde(default)]
    variables: Option<Variables>,
    #[serde(default)]
    operation_name: Option<String>,
}

/// The answer, and whether the query could be run at all.
pub(super) struct Answer {
    pub(super) body: String,
    pub(super) is_good: bool,
}

/// What a query looks at.
struct Context {
    database: Database,
    realm: String,
    bytes_left: AtomicUsize,
    lookups_left: AtomicUsize,
}

impl juniper::Context for Context {}

/// Why a column could not be read, as the one who asks is told.
fn unreadable(error: &DatabaseError) -> FieldError {
    let text = match error {
        DatabaseError::TooMuch => error.to_string(),
        DatabaseError::Sqlite(cause) => {
            tracing::warn!(error = %cause, "a query of reports failed");
            "the store of reports failed".to_owned()
        }
    };
    FieldError::from(text)
}

impl Context {
    /// Takes so much of what one query may cost.
    fn spend(of: &AtomicUsize, cost: usize) -> FieldResult<()> {
        let spent = of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(cost)
        });
        spent
            .map(drop)
            .map_err(|_| unreadable(&DatabaseError::TooMuch))
    }

    fn value(&self, id: &str, column: &'static str) -> FieldResult<Option<String>> {
        Self::spend(&self.lookups_left, 1)?;
        let value = self.database.value(&self.realm, id, column);
        let value = value.map_err(|error| unreadable(&error))?.flatten();
        Self::spend(&self.bytes_left, value.as_ref().map_or(0, String::len))?;
        Ok(value)
    }
}

#[derive(Clone, Copy, GraphQLEnum)]
enum ReportType {
    State,
    Action,
    States,
    Actions,
}

/// A report, whose columns are read when they are asked for.
struct Report(String);

#[graphql_object(context = Context)]
impl Report {
    /// Report ID
    fn id(&self) -> ID {
        ID::from(self.0.clone())
    }

    /// Type of the report, can be: STATE, ACTION, STATES, ACTIONS
    #[graphql(name = "type")]
    fn kind(&self, context: &Context) -> FieldResult<Option<ReportType>> {
        let kind = context.value(&self.0, "type")?;
        Ok(kind.and_then(|kind| match kind.as_str() {
            "STATE" => Some(ReportType::State),
            "ACTION" => Some(ReportType::Action),
            "STATES" => Some(ReportType::States),
            "ACTIONS" => Some(ReportType::Actions),
            _ => None,
        }))
    }

    fn title(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "title")
    }

    fn description(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "description")
    }

    fn action(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "action")
    }

    fn payload(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "payload")
    }

    fn preloaded_state(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "preloadedState")
    }

    fn screenshot(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "screenshot")
    }

    fn user_agent(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "userAgent")
    }

    fn version(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "version")
    }

    fn user(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "user")
    }

    fn user_id(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "userId")
    }

    fn instance_id(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "instanceId")
    }

    fn meta(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "meta")
    }

    fn exception(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "exception")
    }

    fn added(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "added")
    }

    fn app_id(&self, context: &Context) -> FieldResult<Option<String>> {
        context.value(&self.0, "appId")
    }
}

struct Query;

#[graphql_object(context = Context)]
impl Query {
    /// List all reports
    fn reports(context: &Context) -> FieldResult<Vec<Report>> {
        let ids = context.database.ids(&context.realm);
        let ids = ids.map_err(|error| unreadable(&error))?;
        Context::spend(&context.lookups_left, ids.len())?;
        Ok(ids.into_iter().map(Report).collect())
    }

    /// Search a report by id
    fn report(context: &Context, id: ID) -> FieldResult<Option<Report>> {
        Context::spend(&context.lookups_left, 1)?;
        let found = context.database.value(&context.realm, &id, "id");
        let found = found.map_err(|error| unreadable(&error))?.flatten();
        Ok(found.map(Report))
    }
}

type Schema = RootNode<Query, EmptyMutation<Context>, EmptySubscription<Context>>;

/// Answers a request; nothing if there is no query in it.
pub(super) fn answer(database: &Database, realm: String, request: &Request) -> Option<Answer> {
    let query = request.query.as_deref().filter(|it| !it.is_empty())?;
    if query.len() > LONGEST || depth(query) > DEEPEST {
        let message = "The query is too long or too deep.";
        return Some(Answer::error(&[Problem { message }]));
    }
    let context = Context {
        database: database.clone(),
        realm,
        bytes_left: AtomicUsize::new(MOST_ANSWERED),
        lookups_left: AtomicUsize::new(MOST_LOOKUPS),
    };
    let schema = Schema::new(Query, EmptyMutation::new(), EmptySubscription::new());
    let none = Variables::default();
    let variables = request.variables.as_ref().unwrap_or(&none);
    let name = request.operation_name.as_deref();
    Some(
        match execute_sync(query, name, &schema, variables, &context) {
            Ok((data, errors)) => Answer::data(&data, &errors),
            Err(error) => Answer::error(&error),
        },
    )
}

#[derive(Serialize)]
struct Problem {
    message: &'static str,
}

impl Answer {
    fn data<E: Serialize>(data: &juniper::Value, errors: &[E]) -> Self {
        #[derive(Serialize)]
        struct Body<'a, E> {
            #[serde(skip_serializing_if = "<[E]>::is_empty")]
            errors: &'a [E],
            data: &'a juniper::Value,
        }
        Self {
            body: written(&Body { errors, data }),
            is_good: true,
        }
    }

    fn error<E: Serialize + ?Sized>(errors: &E) -> Self {
        #[derive(Serialize)]
        struct Body<'a, E: ?Sized> {
            errors: &'a E,
        }
        Self {
            body: written(&Body { errors }),
            is_good: false,
        }
    }

    /// There is no query.
    pub(super) fn nothing_asked() -> Self {
        let message = "POST body missing, invalid Content-Type, or JSON object has no keys.";
        Self::error(&[Problem { message }])
    }
}

fn written(body: &impl Serialize) -> String {
    serde_json::to_string(body).unwrap_or_default()
}

/// How deep braces and brackets stand in each other; those in strings count too, which is on the safe side.
fn depth(query: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in query.bytes() {
        match byte {
            b'{' | b'[' | b'(' => depth += 1,
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(query: &str) -> Answer {
        let database = Database::open(None).unwrap();
        let request = Request {
            query: Some(query.to_owned()),
            variables: None,
            operation_name: None,
        };
        answer(&database, "a".to_owned(), &request).unwrap()
    }

    #[test]
    fn queries() {
        let check = |query: &str, is_good: bool, expected: &str| {
            let answer = ask(query);
            assert_eq!((answer.is_good, answer.body.as_str()), (is_good, expected));
        };
        check(
            "{ reports { id title } }",
            true,
            r#"{"data":{"reports":[]}}"#,
        );
        check(
            "{ report(id:\"x\") { id } }",
            true,
            r#"{"data":{"report":null}}"#,
        );
        let unknown = ask("{ nope }");
        assert!(
            !unknown.is_good && unknown.body.contains("nope") && unknown.body.contains("locations"),
            "{}",
            unknown.body
        );
        assert!(!ask("{ reports { id ").is_good);
    }

    #[test]
    fn introspection_lists_the_types() {
        let body = ask("{ __schema { queryType { name } types { name } } }").body;
        assert!(
            body.contains(r#""queryType":{"name":"Query"}"#)
                && body.contains(r#"{"name":"Report"}"#),
            "{body}"
        );
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "{a".repeat(10_000);
        assert!(ask(&deep).body.contains("too deep"));
    }
}
