//! Holds `template.yaml` to the code: routes, functions, roles.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_yaml_ng::Value;
use souk_kit::http::Route;

use crate::roles::{Role, matches};

const READ: [&str; 4] = ["BatchGetItem", "ConditionCheckItem", "GetItem", "Query"];
const WRITE: [&str; 3] = ["DeleteItem", "PutItem", "UpdateItem"];

static RESOURCES: LazyLock<Value> = LazyLock::new(|| {
    let template: Value = serde_yaml_ng::from_str(include_str!("../../../../template.yaml")).unwrap();
    template["Resources"].clone()
});

static ROLES: LazyLock<Vec<Role>> = LazyLock::new(|| {
    let functions = souk_market::functions();
    let kinds = souk_market::registry().kinds;
    let roles = functions.iter().map(|function| Role::of(function, &kinds));
    roles.chain([Role::of_worker(&functions)]).collect()
});

/// The name of a function or of the worker as its resources begin with: `Catalog` for `catalog`.
fn logical_name(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}

/// A value that may be one text or a list of them.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Sequence(list) => list.iter().map(|item| item.as_str().unwrap()).collect(),
        value => vec![value.as_str().unwrap()],
    }
}

/// A statement of a role about the table.
#[derive(Debug)]
struct Statement {
    actions: BTreeSet<String>,
    patterns: Vec<String>,
}

impl Statement {
    /// Reads it, and fails if it is not limited to partitions of the table.
    fn new(statement: &Value, actions: Vec<&str>) -> Self {
        assert_eq!(statement["Effect"], "Allow");
        let Value::Tagged(resource) = &statement["Resource"] else {
            panic!("{statement:?}")
        };
        assert!(
            resource.tag == "!GetAtt" && resource.value == "Table.Arn",
            "{resource:?}"
        );
        let condition = statement["Condition"].as_mapping().unwrap();
        assert_eq!(condition.len(), 1, "{condition:?}");
        let keys = condition["ForAllValues:StringLike"].as_mapping().unwrap();
        assert_eq!(keys.len(), 1, "{keys:?}");
        Self {
            actions: actions.into_iter().map(str::to_owned).collect(),
            patterns: texts(&keys["dynamodb:LeadingKeys"])
                .into_iter()
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// What the policies of a role say about the table. Everything else that they allow is of another service.
fn statements(role: &str) -> Vec<Statement> {
    let policies = &RESOURCES[format!("{}Role", logical_name(role))]["Properties"]["Policies"];
    let policies = policies.as_sequence().unwrap().iter();
    let all = policies.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_sequence().unwrap().clone());
    // A condition of CloudFormation around a statement.
    let all = all.map(|statement| match statement {
        Value::Tagged(tagged) if tagged.tag == "!If" => tagged.value[1].clone(),
        statement => statement,
    });
    all.filter_map(|statement| {
        let actions = texts(&statement["Action"]);
        let table: Vec<&str> = actions
            .iter()
            .filter_map(|action| action.strip_prefix("dynamodb:"))
            .collect();
        let others = ["sqs:", "s3:", "es:", "logs:", "cloudfront:", "ses:"];
        let is_other = |action: &str| others.iter().any(|service| action.starts_with(service));
        assert!(
            actions
                .iter()
                .all(|action| action.starts_with("dynamodb:") || is_other(action)),
            "{actions:?}"
        );
        let is_scan = table.contains(&"Scan") || table.contains(&"BatchWriteItem");
        (!table.is_empty() && !is_scan).then(|| Statement::new(&statement, table.clone()))
    })
    .collect()
}

/// Whether a role's policies allow the action on an item of this partition, as IAM would evaluate them.
fn is_allowed(role: &str, action: &str, partition: &str) -> bool {
    statements(role).iter().any(|statement| {
        statement.actions.contains(action) && statement.patterns.iter().any(|pattern| matches(pattern, partition))
    })
}

#[test]
fn every_function_is_deployed_with_its_own_role() {
    let functions = souk_market::functions();
    let names = functions.iter().map(|function| function.name);
    let roles: BTreeSet<&str> = ROLES.iter().map(|role| role.name).collect();
    assert_eq!(roles, names.chain(["worker"]).collect());
    for role in roles {
        let name = logical_name(role);
        let properties = &RESOURCES[format!("{name}Function")]["Properties"];
        // Its Makefile takes the binary by the name of the function.
        assert_eq!(properties["CodeUri"], "infra/lambda/");
        let Value::Tagged(arn) = &properties["Role"] else {
            panic!("{role} has no role of its own")
        };
        assert!(
            arn.tag == "!GetAtt" && arn.value == format!("{name}Role.Arn"),
            "{arn:?}"
        );
        let mounted = &properties["Environment"]["Variables"]["SOUK_FUNCTIONS"];
        assert_eq!(mounted.as_str(), (role != "worker").then_some(role));
    }
}

#[test]
fn the_policies_are_the_declared_roles() {
    let mut faults = String::new();
    for Role {
        name, reads, writes, ..
    } in ROLES.iter()
    {
        let found: Vec<_> = statements(name)
            .into_iter()
            .map(|statement| (statement.actions, statement.patterns.into_iter().collect()))
            .collect();
        let declared = [(&READ[..], reads), (&WRITE[..], writes)]
            .into_iter()
            .filter(|(_, patterns)| !patterns.is_empty())
            .map(|(actions, patterns)| {
                let actions: BTreeSet<String> = actions.iter().map(|action| (*action).to_owned()).collect();
                (actions, patterns.clone())
            })
            .collect::<Vec<_>>();
        if found != declared {
            writeln!(faults, "{name} reads {reads:?}\n{name} writes {writes:?}").unwrap();
        }
        // Then `matches` says what IAM's `StringLike` says.
        assert!(reads.iter().chain(writes).all(|pattern| !pattern.contains('?')));
    }
    assert!(
        faults.is_empty(),
        "the dynamodb:LeadingKeys in template.yaml should be:\n{faults}"
    );
}

/// A condition on partitions would refuse every scan, so these statements have none.
#[test]
fn only_those_who_export_or_erase_markets_scan_the_table() {
    for Role { name, scans, .. } in ROLES.iter() {
        let policies = &RESOURCES[format!("{}Role", logical_name(name))]["Properties"]["Policies"];
        let text = serde_json::to_string(policies).unwrap();
        assert_eq!(text.contains("dynamodb:Scan"), *scans, "{name}");
        assert_eq!(text.contains("dynamodb:BatchWriteItem"), *name == "worker", "{name}");
    }
}

#[test]
fn only_functions_that_search_reach_the_index() {
    let searching = souk_market::functions().into_iter();
    let searching = searching.filter(|function| function.searches);
    let searching: BTreeSet<&str> = searching.map(|function| function.name).chain(["worker"]).collect();
    for role in ROLES.iter().map(|role| role.name) {
        let name = logical_name(role);
        let policies = serde_json::to_string(&RESOURCES[format!("{name}Role")]["Properties"]["Policies"]).unwrap();
        let variables = &RESOURCES[format!("{name}Function")]["Properties"]["Environment"]["Variables"];
        let has = [
            policies.contains("s3:GetObject"),
            policies.contains("es:ESHttp"),
            !variables["SOUK_SEARCH_BUCKET"].is_null(),
            !variables["OPENSEARCH_URL"].is_null(),
        ];
        assert_eq!(has, [searching.contains(role); 4], "{role}");
    }
}

#[test]
fn no_function_reaches_what_is_not_its_own() {
    let every = READ.into_iter().chain(WRITE);
    for action in every.clone().chain(["Scan", "BatchWriteItem", "DeleteTable"]) {
        for role in ROLES.iter().map(|role| role.name) {
            for kind in ["password", "account-email"] {
                let allowed = is_allowed(role, action, &format!("d#{kind}/acc_1"));
                // The job that mails a code finds out whose the address is.
                let is_mailing = role == "worker" && kind == "account-email" && READ.contains(&action);
                assert_eq!(
                    allowed,
                    is_mailing || (role == "identity" && every.clone().any(|known| known == action)),
                    "{role} {action} {kind}"
                );
            }
            let writes = WRITE.contains(&action);
            let allowed = is_allowed(role, action, "d#sessions/acc_1");
            assert!(!(allowed && writes) || role == "identity", "{role} {action}");
            // Nobody but its owners, and jobs.
            let allowed = is_allowed(role, action, "d#webhook-secret/whk_1");
            assert!(!allowed || ["webhooks", "worker"].contains(&role), "{role} {action}");
            assert!(!is_allowed(role, action, "d#unknown/1"));
        }
    }
    for (role, action, partition, allowed) in [
        ("catalog", "PutItem", "d#product/prd_1", true),
        ("catalog", "UpdateItem", "i#products/published", true),
        ("catalog", "BatchGetItem", "d#sessions/acc_1", true),
        ("catalog", "ConditionCheckItem", "d#vendor/vnd_1", true),
        ("catalog", "PutItem", "d#vendor/vnd_1", false),
        ("catalog", "PutItem", "d#account/acc_1", false),
        ("catalog", "Query", "d#outbox/0", false),
        ("catalog", "PutItem", "d#outbox/0", true),
        ("community", "UpdateItem", "d#product/prd_1", false),
        ("worker", "UpdateItem", "d#product/prd_1", true),
        ("worker", "GetItem", "d#sessions/acc_1", false),
        ("ops", "GetItem", "d#product/prd_1", false),
        ("ops", "PutItem", "d#ping/ping", false),
    ] {
        assert_eq!(
            is_allowed(role, action, partition),
            allowed,
            "{role} {action} {partition}"
        );
    }
}

#[test]
fn only_those_who_write_to_the_outbox_send_messages() {
    for role in ROLES.iter() {
        let policies = &RESOURCES[format!("{}Role", logical_name(role.name))]["Properties"]["Policies"];
        let statements = policies[0]["PolicyDocument"]["Statement"].as_sequence().unwrap();
        let sends = statements.iter().filter(|statement| statement.get("Action").is_some());
        let sends = sends
            .into_iter()
            .any(|statement| texts(&statement["Action"]).contains(&"sqs:SendMessage"));
        let writes = role.writes.contains("d#outbox/*");
        assert_eq!(sends, writes, "{}", role.name);
    }
}

/// API Gateway takes the route with the whole path, then the one with the longest prefix, then `$default`.
#[test]
fn every_route_leads_to_its_function() {
    let routes: Vec<(String, String)> = RESOURCES
        .as_mapping()
        .unwrap()
        .values()
        .filter(|resource| resource["Type"] == "AWS::ApiGatewayV2::Route")
        .filter_map(|route| {
            let Value::Tagged(target) = &route["Properties"]["Target"] else {
                panic!("{route:?}")
            };
            let target = target
                .value
                .as_str()?
                .strip_prefix("integrations/${")?
                .strip_suffix("Integration}")?;
            let key = route["Properties"]["RouteKey"].as_str()?;
            let path = key.strip_prefix("ANY ").unwrap_or(key);
            Some((path.to_owned(), target.to_lowercase()))
        })
        .collect();
    let same = |name: &str, value: &str| name.starts_with('{') || name == value;
    let matches = |route: &str, path: &str| {
        let (names, parts): (Vec<&str>, Vec<&str>) = (route.split('/').collect(), path.split('/').collect());
        let is_greedy = route.ends_with("{proxy+}");
        let fits = if is_greedy {
            parts.len() >= names.len()
        } else {
            parts.len() == names.len()
        };
        fits && names.iter().zip(&parts).all(|(name, value)| same(name, value))
    };
    for function in souk_market::functions() {
        let name = function.name;
        for path in function.routes.iter().map(Route::path) {
            let best = routes
                .iter()
                .filter(|(pattern, _)| matches(pattern, path))
                .max_by_key(|(pattern, _)| (!pattern.ends_with("{proxy+}"), pattern.len()));
            assert_eq!(best.map(|(_, target)| &**target), Some(name), "{path}");
        }
        let is_default = routes.contains(&("$default".to_owned(), name.to_owned()));
        assert_eq!(is_default, function.fallback.is_some(), "{name}");
    }
}
