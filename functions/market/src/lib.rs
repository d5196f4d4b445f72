//! The list of functions. Hosts, OpenAPI, the stack and the tests follow from it.
//!
//! Each function is a cargo feature of the same name, so that a host can be built without those that another host serves.

use std::sync::Arc;

use souk_core::assets::Embedded;
use souk_kit::{Function, Principals, Registry};

pub use souk_identity::{SIGN_IN, SIGN_IN_WRITES};

/// All functions that are built in.
#[must_use]
pub fn functions() -> Vec<Function> {
    vec![
        #[cfg(feature = "catalog")]
        souk_catalog::function(),
        #[cfg(feature = "community")]
        souk_community::function(),
        #[cfg(feature = "identity")]
        souk_identity::function(),
        #[cfg(feature = "imports")]
        souk_imports::function(),
        #[cfg(feature = "operators")]
        souk_operators::function(),
        #[cfg(feature = "ops")]
        souk_ops::function(),
        #[cfg(feature = "search")]
        souk_search::function(),
        #[cfg(feature = "tenants")]
        souk_tenants::function(),
        #[cfg(feature = "vendors")]
        souk_vendors::function(),
        #[cfg(feature = "webhooks")]
        souk_webhooks::function(),
    ]
}

/// The functions that `names` lists, separated by commas; all if it lists none.
pub fn named(names: &str) -> Result<Vec<Function>, String> {
    let names: Vec<&str> = names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    let mut functions = functions();
    if let Some(unknown) = names
        .iter()
        .find(|name| functions.iter().all(|function| function.name != **name))
    {
        let known: Vec<&str> = functions.iter().map(|function| function.name).collect();
        let known = known.join(", ");
        return Err(format!("there is no function {unknown:?}; there are {known}"));
    }
    functions.retain(|function| names.is_empty() || names.contains(&function.name));
    Ok(functions)
}

/// What all functions declare.
#[must_use]
pub fn registry() -> Registry {
    Registry::of(&functions())
}

/// The static files of pages, for hosts that embed them.
#[must_use]
pub fn assets() -> Embedded {
    Embedded(souk_ops::FILES)
}

/// Who sessions belong to.
#[must_use]
pub fn principals() -> Arc<dyn Principals> {
    Arc::new(souk_identity::Sessions)
}

/// The example of each operation, in the order of a story that the end-to-end suite plays.
#[cfg(any(feature = "openapi", test))]
const EXAMPLES: &str = include_str!("examples.json");

/// The OpenAPI document of all functions.
#[cfg(any(feature = "openapi", test))]
#[must_use]
pub fn openapi() -> serde_json::Value {
    let functions = functions();
    let sections: Vec<_> = functions.iter().map(section).collect();
    let steps: Vec<serde_json::Value> = serde_json::from_str(EXAMPLES).unwrap_or_default();
    let named = steps.into_iter().filter_map(|step| {
        let name = step.get("operation")?.as_str()?.to_owned();
        Some((name, step))
    });
    let examples = named.collect::<serde_json::Map<_, _>>().into();
    souk_kit::http::document(&sections, &examples, env!("CARGO_PKG_VERSION"))
}

/// The OpenAPI document of version 2.
#[cfg(any(feature = "openapi", test))]
#[must_use]
pub fn openapi_of_version_2() -> serde_json::Value {
    souk_kit::http::document_of_version_2(&openapi(), &registry().changes)
}

#[cfg(any(feature = "openapi", test))]
fn section(function: &Function) -> souk_kit::http::Section<'_> {
    souk_kit::http::Section {
        name: function.name,
        summary: function.summary,
        routes: &function.routes,
        problems: function.problems,
        events: &function.events,
        notification: function.notification.as_ref(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use souk_kit::limits::Reach;

    use super::*;

    #[test]
    fn the_guide_lists_every_limit() {
        let guide = include_str!("../../ops/assets/guides/limits.md");
        let listed: BTreeSet<&str> = guide
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        let mut found = BTreeSet::new();
        let functions = functions();
        for limit in functions.iter().flat_map(Function::all_limits) {
            let place = match limit.reach {
                Reach::Instance => "in each instance",
                Reach::Everywhere => "everywhere",
            };
            let (units, seconds) = (limit.quota.units, limit.quota.seconds);
            let units = match units.checked_sub(1000) {
                Some(rest) => format!("{},{:03}", units / 1000, rest % 1000),
                None => units.to_string(),
            };
            let window = match seconds {
                60 => "a minute".to_owned(),
                3_600 => "an hour".to_owned(),
                86_400 => "a day".to_owned(),
                seconds => format!("in {} minutes", seconds / 60),
            };
            let start = format!("| `{}` | ", limit.name);
            let end = format!(" | {units} {window} | {place} |");
            let is_listed = guide
                .lines()
                .any(|line| line.starts_with(&start) && line.ends_with(&end));
            assert!(is_listed, "the guide to limits lacks {start}…{end}");
            found.insert(limit.name);
        }
        assert_eq!(listed, found);
    }

    /// `infra/openapi` updates them.
    #[test]
    fn the_openapi_snapshot_is_current() {
        let snapshot: serde_json::Value = serde_json::from_str(include_str!("../../ops/assets/openapi.json")).unwrap();
        assert!(openapi() == snapshot, "run `infra/openapi`");
        let second = include_str!("../../ops/assets/openapi-v2.json");
        let second: serde_json::Value = serde_json::from_str(second).unwrap();
        assert!(openapi_of_version_2() == second, "run `infra/openapi`");
    }

    #[test]
    fn no_two_functions_declare_the_same_name() {
        assert_eq!(Registry::clashes(&functions()), Vec::<String>::new());
    }

    #[test]
    fn no_two_schemas_share_a_name() {
        let functions = functions();
        let sections: Vec<_> = functions.iter().map(section).collect();
        assert_eq!(souk_kit::http::clashes(&sections), BTreeSet::new());
    }

    #[test]
    fn no_two_operations_share_an_id() {
        let document = openapi();
        let paths = document["paths"].as_object().unwrap().values();
        let ids = paths.flat_map(|path| {
            path.as_object()
                .unwrap()
                .values()
                .map(|of| of["operationId"].as_str().unwrap())
        });
        let mut seen = BTreeSet::new();
        assert_eq!(
            ids.filter(|id| !seen.insert(*id)).collect::<Vec<_>>(),
            Vec::<&str>::new()
        );
    }

    #[test]
    fn functions_are_chosen_by_name() {
        let names = |text: &str| named(text).map(|all| all.iter().map(|function| function.name).collect::<Vec<_>>());
        assert_eq!(names("").unwrap().len(), functions().len());
        assert_eq!(names("catalog").unwrap(), ["catalog"]);
        assert_eq!(names(" search, catalog,").unwrap(), ["catalog", "search"]);
        let error = names("catalog,katalog").unwrap_err();
        assert!(
            error.starts_with("there is no function \"katalog\"; there are catalog,"),
            "{error}"
        );
    }
}
