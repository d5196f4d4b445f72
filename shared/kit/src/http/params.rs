//! Query parameters: what a row declares of them, and those of a request.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde_json::Value;
use souk_core::{Fault, FieldCode, FieldError, Timestamp};

use super::Problem;

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// The name. A name that ends in `.*` matches all names with the prefix before the `*`.
    pub name: &'static str,
    /// The description in the API docs.
    pub summary: &'static str,
    /// The JSON schema of the value.
    pub schema: &'static str,
}

impl Param {
    /// The `limit` parameter of every list.
    pub const LIMIT: Param = Param {
        name: "limit",
        summary: "The maximum number of items in the page.",
        schema: r#"{"type":"integer","minimum":1,"maximum":100,"default":20}"#,
    };
    /// The `cursor` parameter of every list.
    pub const CURSOR: Param = Param {
        name: "cursor",
        summary: "The `next_cursor` or `prev_cursor` of another page.",
        schema: r#"{"type":"string","minLength":1,"maxLength":1400}"#,
    };
    /// The `fields` parameter, for responses with field selection.
    pub const FIELDS: Param = Param {
        name: "fields",
        summary: "Return only these fields, separated by commas. The others are absent, even if the schema requires them.",
        schema: r#"{"type":"array","items":{"type":"string"}}"#,
    };

    /// The `as_of` parameter, for documents of which earlier states are kept.
    pub const AS_OF: Param = Param {
        name: "as_of",
        summary: "As it was at this moment, with the counts of today; kept for a year. Takes the permission `audit:read`.",
        schema: r#"{"type":"string","format":"date-time"}"#,
    };

    /// A string parameter.
    #[must_use]
    pub const fn text(name: &'static str, summary: &'static str) -> Param {
        Param {
            name,
            summary,
            schema: r#"{"type":"string","minLength":1}"#,
        }
    }

    /// What is wrong with a value, as far as its schema says. The handler checks what a schema cannot say.
    fn fault(schema: &Value, text: &str) -> Option<Fault> {
        let one_of = |schema: &Value, text: &str| {
            let allowed: Vec<&str> = schema
                .get("enum")?
                .as_array()?
                .iter()
                .filter_map(Value::as_str)
                .collect();
            (!allowed.contains(&text)).then(|| Fault::not_one_of(&allowed))
        };
        match schema.get("type").and_then(Value::as_str)? {
            kind @ ("integer" | "number") => {
                let is_whole = kind == "number" || text.parse::<i128>().is_ok();
                let Some(number) = text.parse::<f64>().ok().filter(|_| is_whole) else {
                    return Some(Fault::wrong_type(kind));
                };
                let (min, max) = (schema.get("minimum")?, schema.get("maximum")?);
                let is_inside = (min.as_f64()?..=max.as_f64()?).contains(&number);
                (!is_inside).then(|| Fault::out_of_range(min.clone(), max.clone()))
            }
            "array" => {
                let item = schema.get("items")?;
                text.split(',').find_map(|text| one_of(item, text.trim()))
            }
            _ => {
                let max = schema.get("maxLength").and_then(Value::as_u64);
                let max = max.and_then(|max| usize::try_from(max).ok());
                let long = max.filter(|max| text.chars().count() > *max).map(Fault::too_long);
                long.or_else(|| one_of(schema, text))
            }
        }
    }

    /// The schema, to check values with.
    pub(super) fn parsed(&self) -> Value {
        serde_json::from_str(self.schema).unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(prefix) => name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
            None => self.name == name,
        }
    }
}

/// The query parameters of a request. The route knows each of them, and each is given once.
#[derive(Clone, Debug, Default)]
pub struct QueryParams(Arc<[(String, String)]>);

/// `attr.size` for `attr[size]`: the style `deepObject` of OpenAPI, in which generated clients write it.
fn dotted(name: Cow<'_, str>) -> Cow<'_, str> {
    match name.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((prefix, rest)) => format!("{prefix}.{rest}").into(),
        None => name,
    }
}

impl QueryParams {
    /// The parameters that are as their schemas say, and the faults of the others.
    pub(super) fn parse(query: &str, known: &[Param], schemas: &[Value]) -> (Self, Vec<FieldError>) {
        let mut errors: Vec<FieldError> = Vec::new();
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut seen: BTreeMap<String, bool> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let name = dotted(name);
            // What is wrong does not depend on the order: of a parameter that is given twice, only that is named, once.
            let place = known.iter().position(|param| param.is(&name));
            if let Some(is_named) = seen.get_mut(&*name) {
                if place.is_some() && !std::mem::replace(is_named, true) {
                    pairs.retain(|(known, _)| *known != *name);
                    errors.retain(|error| error.field != *name);
                    errors.push(FieldError::new(name, Fault::duplicate()));
                }
                continue;
            }
            seen.insert(name.to_string(), false);
            let fault = if place.is_none() {
                Some(Fault::new(
                    FieldCode::UnknownParameter,
                    "is not a parameter of this route",
                ))
            } else if value.is_empty() {
                Some(Fault::required().because("must not be empty"))
            } else {
                let schema = place.and_then(|place| schemas.get(place));
                schema.and_then(|schema| Param::fault(schema, &value))
            };
            match fault {
                Some(fault) => errors.push(FieldError::new(name, fault)),
                None => pairs.push((name.into_owned(), value.into_owned())),
            }
        }
        // The order of the parameters has no meaning.
        pairs.sort_unstable();
        (Self(pairs.into()), errors)
    }

    /// The moment that `as_of` names.
    pub fn as_of(&self) -> Result<Option<Timestamp>, Problem> {
        let read = |text: &str| {
            let fault = Fault::format("must be a time such as 2030-01-31T12:00:00Z");
            text.parse().map_err(|_| Problem::bad_parameter("as_of", fault))
        };
        self.get("as_of").map(read).transpose()
    }

    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All parameters whose name has this prefix, with the prefix removed.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }
}

impl<S: Sync> FromRequestParts<S> for QueryParams {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<QueryParams>().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str, known: &[Param]) -> (QueryParams, Vec<FieldError>) {
        let schemas: Vec<Value> = known.iter().map(Param::parsed).collect();
        QueryParams::parse(query, known, &schemas)
    }

    #[test]
    fn unknown_repeated_and_empty_parameters_are_all_named() {
        const KNOWN: &[Param] = &[Param::LIMIT, Param::text("attr.*", "")];
        let faults = |query: &str| -> Vec<String> {
            let (_, faults) = parse(query, KNOWN);
            faults.into_iter().map(|e| e.field).collect()
        };
        assert_eq!(
            faults("limit=1&limit=2&color=red&attr.=x&attr.a="),
            ["limit", "color", "attr.", "attr.a"]
        );
        const TYPED: &[Param] = &[
            Param::LIMIT,
            Param {
                name: "sort",
                summary: "",
                schema: r#"{"type":"string","enum":["new","old"]}"#,
            },
            Param {
                name: "facets",
                summary: "",
                schema: r#"{"type":"array","items":{"type":"string","enum":["tag","price"]}}"#,
            },
            Param {
                name: "radius",
                summary: "",
                schema: r#"{"type":"number","minimum":1,"maximum":9.5}"#,
            },
            Param {
                name: "q",
                summary: "",
                schema: r#"{"type":"string","maxLength":2}"#,
            },
        ];
        let query = "limit=0&sort=odd&facets=tag,%20color&radius=x&q=%C3%A4%C3%B6%C3%BC";
        let (_, errors) = parse(query, TYPED);
        let said: Vec<_> = errors
            .iter()
            .map(|error| (error.field.as_str(), error.code, error.detail.as_str()))
            .collect();
        assert_eq!(
            said,
            [
                ("limit", FieldCode::OutOfRange, "must be from 1 to 100"),
                ("sort", FieldCode::NotOneOf, "must be one of new, old"),
                ("facets", FieldCode::NotOneOf, "must be one of tag, price"),
                ("radius", FieldCode::WrongType, "must be a number"),
                ("q", FieldCode::TooLong, "must have at most 2 characters"),
            ]
        );
        for bad in [
            "limit=1e1",
            "limit=101",
            "limit=-1",
            "limit=99999999999999999999999999",
            "radius=NaN",
            "radius=inf",
        ] {
            assert_eq!(parse(bad, TYPED).1.len(), 1, "{bad}");
        }
        for good in ["limit=100", "radius=9.5", "facets=price,tag", "sort=old", "q=ab"] {
            assert_eq!(parse(good, TYPED).1, [], "{good}");
        }
        for query in ["limit=5&attr.size=XL%20tall", "limit=5&attr%5Bsize%5D=XL+tall"] {
            let (params, faults) = parse(query, KNOWN);
            assert_eq!(faults, []);
            assert_eq!(params.get("limit"), Some("5"));
            assert_eq!(params.with_prefix("attr.").collect::<Vec<_>>(), [("size", "XL tall")]);
        }
        assert_eq!(faults("attr[size]=S&attr.size=M&attr[]=x"), ["attr.size", "attr."]);
    }
}
