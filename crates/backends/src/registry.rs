//! The one registry that answers a listener's calls.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use polyport_core::{
    Accepted, ActionInfo, Answer, Ask, Backend, Call, CallError, Denial, Hooks, Json, Later,
    OpenRequest, RealmName, Refused, SERVER_SIDE, SessionEnd, SessionId, SessionRef, Told,
};

use crate::{DocumentationShape, Provider, documentation::documentation};

/// How many providers that were replaced still hear of sessions that end.
const MAX_RETIRED: usize = 16;

/// Finds the provider that a call's name belongs to: the first that has an action of that name, in whichever version, or
/// that answers it for the session.
pub struct Registry {
    documentation_shape: DocumentationShape,
    /// Made anew when providers are replaced or a provider's actions have changed.
    table: ArcSwap<Table>,
}

/// The providers, and what is known of their actions.
struct Table {
    providers: Vec<Arc<dyn Provider>>,
    /// Providers of earlier configurations, which may have sessions of theirs.
    retired: Vec<Arc<dyn Provider>>,
    /// The sum of the providers' generations that it was made from.
    generation: u64,
    hooks: Hooks,
    /// Which provider has a name.
    owners: HashMap<Box<str>, usize, FixedState>,
    infos: Arc<[ActionInfo]>,
    inputs: HashSet<Box<str>>,
    documentation: Json,
}

impl Registry {
    /// A registry over `providers`, the first one asked first.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Provider>>, documentation_shape: DocumentationShape) -> Self {
        let table = Table::new(providers, Vec::new(), documentation_shape);
        Self {
            documentation_shape,
            table: ArcSwap::from_pointee(table),
        }
    }

    /// Answers with other providers from now on. Those that are gone still hear of the end of their sessions.
    pub fn replace(&self, providers: Vec<Arc<dyn Provider>>) {
        let before = self.table.load();
        let is_gone = |old: &&Arc<dyn Provider>| !providers.iter().any(|new| same(old, new));
        let known = before.providers.iter().chain(&before.retired);
        let mut retired: Vec<_> = known.filter(is_gone).cloned().collect();
        retired.truncate(MAX_RETIRED);
        let table = Table::new(providers, retired, self.documentation_shape);
        self.table.store(Arc::new(table));
    }

    /// The table as the providers are now.
    fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        let table = self.table.load();
        if table.generation == generation(&table.providers) {
            return table;
        }
        let fresh = Table::new(
            table.providers.clone(),
            table.retired.clone(),
            self.documentation_shape,
        );
        // Whoever has replaced the providers meanwhile is right.
        self.table.compare_and_swap(&table, Arc::new(fresh));
        self.table.load()
    }
}

fn same(one: &Arc<dyn Provider>, other: &Arc<dyn Provider>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

fn generation(providers: &[Arc<dyn Provider>]) -> u64 {
    providers
        .iter()
        .map(|provider| provider.generation())
        .fold(0, u64::wrapping_add)
}

impl Table {
    fn new(
        providers: Vec<Arc<dyn Provider>>,
        retired: Vec<Arc<dyn Provider>>,
        shape: DocumentationShape,
    ) -> Self {
        // Read first: what changes meanwhile is looked at again.
        let generation = generation(&providers);
        let mut hooks = Hooks::default();
        for provider in &providers {
            let own = provider.hooks();
            hooks.open |= own.open;
            hooks.close |= own.close;
            hooks.join |= own.join;
            hooks.publish |= own.publish;
        }
        let mut owners: HashMap<Box<str>, usize, FixedState> = HashMap::default();
        let mut infos = Vec::new();
        for (index, provider) in providers.iter().enumerate() {
            // Those of servers are nothing that a client should see.
            let mut actions = provider.actions();
            actions.retain(|info| !info.name.starts_with(SERVER_SIDE));
            for info in actions {
                let owner = *owners.entry(info.name.as_str().into()).or_insert(index);
                if owner == index {
                    infos.push(info);
                }
            }
        }
        infos.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
        let inputs = infos.iter().flat_map(|info| &info.inputs);
        Self {
            hooks,
            generation,
            owners,
            inputs: inputs.map(|input| input.name.as_str().into()).collect(),
            documentation: documentation(&infos, shape),
            infos: infos.into(),
            providers,
            retired,
        }
    }

    fn owner(&self, session: &SessionRef, name: &str) -> Option<&dyn Provider> {
        let owner = self.owners.get(name).copied();
        let before = &self.providers[..owner.unwrap_or(self.providers.len())];
        before
            .iter()
            .find(|provider| provider.answers(session, name))
            .or_else(|| self.providers.get(owner?))
            .map(|provider| &**provider)
    }
}

impl Backend for Registry {
    fn call(&self, session: &SessionRef, call: Call<'_>) -> Answer {
        let table = self.table();
        let is_of_servers = call.action.starts_with(SERVER_SIDE);
        let owner = table.owner(session, call.action);
        match owner.filter(|_| !is_of_servers) {
            Some(provider) => provider.call(session, call, &table.documentation),
            None => Answer::Now(Err(CallError::UnknownAction)),
        }
    }

    fn call_of_server(&self, realm: &RealmName, call: Call<'_>) -> Option<Told> {
        let table = self.table();
        let mut providers = table.providers.iter();
        providers.find_map(|provider| provider.call_of_server(realm, call))
    }

    fn inputs(&self, call: &Call<'_>) -> Vec<(String, Json)> {
        let table = self.table();
        let owner = table.owners.get(call.action);
        owner.map_or_else(Vec::new, |&index| table.providers[index].inputs(call))
    }

    fn describe(&self) -> Arc<[ActionInfo]> {
        Arc::clone(&self.table().infos)
    }

    fn has_input(&self, name: &str) -> bool {
        self.table().inputs.contains(name)
    }

    /// As the `documentation` verb and the action `showDocumentation` tell it, in order of names and versions:
    /// `{name: {version: {name, version, description, inputs, outputExample}}}`.
    fn documentation(&self) -> Json {
        self.table().documentation.clone()
    }

    fn hooks(&self) -> Hooks {
        self.table().hooks
    }

    /// Every provider with the hook is asked, in order; the first that refuses ends it. Of what they give the first of
    /// each counts, and all rooms.
    fn open(&self, request: Arc<OpenRequest>) -> Later<Result<Accepted, Refused>> {
        let table = self.table();
        let asked: Vec<_> = table
            .providers
            .iter()
            .filter(|provider| provider.hooks().open)
            .cloned()
            .collect();
        Box::pin(async move {
            let mut all = Accepted::default();
            for provider in asked {
                let one = provider.open(&request).await?;
                all.identity = all.identity.or(one.identity);
                all.public = all.public.or(one.public);
                all.ping = all.ping.or(one.ping);
                all.join.extend(one.join);
            }
            Ok(all)
        })
    }

    fn opened(&self, session: &SessionRef) {
        for provider in &self.table().providers {
            provider.opened(session);
        }
    }

    fn close(&self, session: SessionId, end: &SessionEnd) {
        let table = self.table();
        for provider in table.providers.iter().chain(&table.retired) {
            provider.close(session, end);
        }
    }

    /// Every provider with the hook must agree.
    fn may(&self, session: &SessionRef, ask: Ask) -> Later<Result<(), Denial>> {
        let wants = |hooks: Hooks| match ask {
            Ask::Join(_) => hooks.join,
            Ask::Publish { .. } => hooks.publish,
        };
        let table = self.table();
        let asking: Vec<_> = table
            .providers
            .iter()
            .filter(|provider| wants(provider.hooks()))
            .map(|provider| provider.may(session, &ask))
            .collect();
        Box::pin(async move {
            for answer in asking {
                answer.await?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use polyport_core::{Params, Reply};

    use super::*;
    use crate::{Action, Actions};

    fn action(name: &str, version: u32, answer: &'static str) -> Action {
        Action {
            name: name.to_owned(),
            version,
            description: answer.to_owned(),
            inputs: Vec::new(),
            output_example: Json::encode(&Params::default()),
            run: Box::new(|_| Answer::Now(Ok(Reply::Nothing))),
        }
    }

    #[test]
    fn a_name_belongs_to_the_first_backend_that_has_it() {
        let first = Actions::new([action("both", 10, "first"), action("both", 2, "first")]);
        let second = Actions::new([action("both", 99, "second"), action("own", 1, "second")]);
        let providers: Vec<Arc<dyn Provider>> = vec![Arc::new(first), Arc::new(second)];
        let registry = Registry::new(providers, DocumentationShape::Keys);
        let described: Vec<_> = registry
            .describe()
            .iter()
            .map(|info| format!("{} {} {}", info.name, info.version, info.description))
            .collect();
        assert_eq!(described, ["both 2 first", "both 10 first", "own 1 second"]);

        let hidden = Actions::new([action("serverSide:both", 1, "hidden")]);
        registry.replace(vec![Arc::new(hidden)]);
        assert_eq!(registry.describe().len(), 0, "only servers call it");

        let third = Actions::new([action("both", 1, "third")]);
        registry.replace(vec![Arc::new(third)]);
        assert_eq!(registry.describe().len(), 1, "the others are gone");
    }
}
