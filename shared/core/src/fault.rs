//! What is wrong with a value of the input: a code for programs, and words for people.
//!
//! A rule that a value breaks makes a [`Fault`], which says with its [`FieldCode`] which rule that is. With the name of the
//! field it is a [`FieldError`], as clients get it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{self, RefOr};

macro_rules! field_codes {
    ($($(#[doc = $about:literal])+ $name:ident,)+) => {
        /// Which rule the value of a field breaks. Codes are stable.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum FieldCode {
            $($(#[doc = $about])+ $name,)+
            /// The value breaks another rule, which `detail` explains.
            #[default]
            Invalid,
        }

        impl FieldCode {
            /// Every code with its explanation.
            pub const ALL: &[(Self, &str)] = &[
                $((Self::$name, concat!($($about),+)),)+
                (Self::Invalid, "The value breaks another rule, which `detail` explains."),
            ];
        }
    };
}

field_codes! {
    /// The field must have a value, and it is absent, null or blank.
    Required,
    /// The value has another JSON type than `params.expected`.
    WrongType,
    /// The body has a field that is not known here.
    UnknownField,
    /// The URL has a query parameter that is not known here.
    UnknownParameter,
    /// The text has more than `params.max` characters.
    TooLong,
    /// The text has fewer than `params.min` characters.
    TooShort,
    /// The list has more than `params.max` entries.
    TooMany,
    /// The list has fewer than `params.min` entries.
    TooFew,
    /// The number is not between `params.min` and `params.max`, one of which may be absent.
    OutOfRange,
    /// The value is not written as it must be, such as an email address, a URL or a time.
    InvalidFormat,
    /// The value is none of `params.allowed`.
    NotOneOf,
    /// The value, or a part of it, is given more than once.
    Duplicate,
    /// Something else has this value already, or it is reserved.
    Taken,
    /// The value names a thing that does not exist, or that you may not see.
    NotFound,
    /// The value does not fit that of the field `params.field`.
    Inconsistent,
    /// The field cannot be changed.
    ReadOnly,
    /// Setting the field takes a permission that you do not have.
    NotPermitted,
    /// What the field names does not work at the moment.
    Unavailable,
}

impl FieldCode {
    /// The code as clients get it.
    #[must_use]
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::String(name)) => name,
            _ => String::new(),
        }
    }
}

impl utoipa::PartialSchema for FieldCode {
    fn schema() -> RefOr<Schema> {
        let about: Vec<&str> = Self::ALL.iter().map(|(_, about)| about.trim()).collect();
        ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(Self::ALL.iter().map(|(code, _)| code.name())))
            .description(Some(
                "Which rule the value breaks. Codes are stable; new ones may come.",
            ))
            .extensions(Some(
                ExtensionsBuilder::new()
                    .add("x-enum-descriptions", json!(about))
                    .build(),
            ))
            .into()
    }
}

impl utoipa::ToSchema for FieldCode {
    fn name() -> std::borrow::Cow<'static, str> {
        "FieldErrorCode".into()
    }
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    code: FieldCode,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    params: Map<String, Value>,
    detail: String,
    /// Which part of the field it is, such as `[2].sku`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    part: String,
}

/// What is wrong with one field of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FieldError {
    /// The field, as a path such as `price.amount` or `tags[2]`, or the name of a parameter or header.
    pub field: String,
    /// The rule that its value breaks.
    // Errors of imports that were stored by an earlier version have none.
    #[serde(default)]
    #[schema(required = true, schema_with = code)]
    pub code: FieldCode,
    /// The values of the rule, such as `max`; absent if it has none.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(schema_with = params)]
    pub params: Map<String, Value>,
    /// What is wrong with it, as people read it after the name of the field.
    pub detail: String,
}

/// The schema of `code`: in place, so that it is found where it is used.
fn code() -> RefOr<Schema> {
    <FieldCode as utoipa::PartialSchema>::schema()
}

/// The schema of `params`.
fn params() -> openapi::Object {
    let any = || {
        RefOr::T(Schema::Object(
            ObjectBuilder::new()
                .schema_type(openapi::schema::SchemaType::AnyValue)
                .build(),
        ))
    };
    let number = || ObjectBuilder::new().schema_type(Type::Number).build();
    let text = || ObjectBuilder::new().schema_type(Type::String).build();
    let texts = openapi::ArrayBuilder::new().items(text());
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property("min", number())
        .property("max", number())
        .property("expected", text())
        .property("field", text())
        .property("allowed", texts)
        .additional_properties(Some(any()))
        .build()
}

impl FieldError {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, fault: Fault) -> Self {
        let Fault {
            code,
            params,
            detail,
            part,
        } = fault;
        Self {
            field: field.into() + &part,
            code,
            params,
            detail,
        }
    }
}

impl Fault {
    /// A value that breaks the rule of this code, and how: it follows the name of the field, as in "must be …".
    pub fn new(code: FieldCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            params: Map::new(),
            detail: detail.into(),
            part: String::new(),
        }
    }

    /// Adds a value of the rule, for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// Says which part of the field it is, such as `[2].sku`.
    #[must_use]
    pub fn at(mut self, part: impl Into<String>) -> Self {
        self.part = part.into();
        self
    }

    /// Replaces the words for people.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// A value that breaks a rule without a code of its own.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(FieldCode::Invalid, detail)
    }

    /// A value that is not written as it must be.
    pub fn format(detail: impl Into<String>) -> Self {
        Self::new(FieldCode::InvalidFormat, detail)
    }

    /// An absent value.
    #[must_use]
    pub fn required() -> Self {
        Self::new(FieldCode::Required, "is required")
    }

    /// A value of another JSON type than this one.
    #[must_use]
    pub fn wrong_type(expected: &str) -> Self {
        let words = match expected {
            "object" => "must be an object",
            "array" => "must be a list",
            "string" => "must be text",
            "integer" => "must be a whole number",
            "number" => "must be a number",
            "boolean" => "must be true or false",
            _ => "has the wrong type",
        };
        Self::new(FieldCode::WrongType, words).with("expected", expected)
    }

    /// A field that is not known.
    #[must_use]
    pub fn unknown_field() -> Self {
        Self::new(FieldCode::UnknownField, "is not a known field")
    }

    /// A text that has more characters than this.
    #[must_use]
    pub fn too_long(max: usize) -> Self {
        Self::new(FieldCode::TooLong, format!("must have at most {max} characters")).with("max", max)
    }

    /// A text that has fewer characters than this.
    #[must_use]
    pub fn too_short(min: usize) -> Self {
        Self::new(FieldCode::TooShort, format!("must have at least {min} characters")).with("min", min)
    }

    /// A list that has more entries than this.
    #[must_use]
    pub fn too_many(max: usize) -> Self {
        Self::new(FieldCode::TooMany, format!("must have at most {max} entries")).with("max", max)
    }

    /// A list that has fewer entries than this.
    #[must_use]
    pub fn too_few(min: usize) -> Self {
        let entries = if min == 1 { "entry" } else { "entries" };
        Self::new(FieldCode::TooFew, format!("must have at least {min} {entries}")).with("min", min)
    }

    /// A number that is not from `min` to `max`.
    pub fn out_of_range<T: fmt::Display + Into<Value>>(min: T, max: T) -> Self {
        Self::new(FieldCode::OutOfRange, format!("must be from {min} to {max}"))
            .with("min", min)
            .with("max", max)
    }

    /// A value that is none of these.
    pub fn not_one_of<T: AsRef<str>>(allowed: &[T]) -> Self {
        let allowed: Vec<&str> = allowed.iter().map(AsRef::as_ref).collect();
        let detail = match allowed.as_slice() {
            [only] => format!("must be {only}"),
            all => format!("must be one of {}", all.join(", ")),
        };
        Self::new(FieldCode::NotOneOf, detail).with("allowed", allowed)
    }

    /// A value that is given more than once.
    #[must_use]
    pub fn duplicate() -> Self {
        Self::new(FieldCode::Duplicate, "is given more than once")
    }

    /// A value that something else has.
    #[must_use]
    pub fn taken() -> Self {
        Self::new(FieldCode::Taken, "is taken")
    }

    /// The name of a thing that does not exist.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(FieldCode::NotFound, format!("there is no such {what}"))
    }

    /// A value that does not fit that of another field.
    pub fn inconsistent(field: &str, detail: impl Into<String>) -> Self {
        Self::new(FieldCode::Inconsistent, detail).with("field", field)
    }

    /// A field that cannot be changed.
    #[must_use]
    pub fn read_only() -> Self {
        Self::new(FieldCode::ReadOnly, "cannot be changed")
    }

    /// A field that others may set.
    pub fn not_permitted(detail: impl Into<String>) -> Self {
        Self::new(FieldCode::NotPermitted, detail)
    }
}

/// garde keeps a message and nothing else, so the message is the fault as JSON.
impl From<Fault> for garde::Error {
    fn from(fault: Fault) -> Self {
        garde::Error::new(serde_json::to_string(&fault).unwrap_or(fault.detail))
    }
}

/// The fault that a rule gave to garde. garde's own rules give only words.
impl From<&garde::Error> for Fault {
    fn from(error: &garde::Error) -> Self {
        serde_json::from_str(error.message()).unwrap_or_else(|_| Fault::invalid(error.message()))
    }
}

/// The faults in a report of garde.
pub fn field_errors(report: &garde::Report) -> impl Iterator<Item = FieldError> {
    let errors = report.iter();
    errors.map(|(path, error)| FieldError::new(path.to_string(), Fault::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_passes_through_garde_whole() {
        for fault in [
            Fault::required(),
            Fault::too_long(80),
            Fault::not_one_of(&["a", "b"]),
            Fault::out_of_range(-90.0, 90.0),
        ] {
            assert_eq!(Fault::from(&garde::Error::from(fault.clone())), fault);
        }
        assert_eq!(
            Fault::from(&garde::Error::new("is odd")),
            Fault::new(FieldCode::Invalid, "is odd")
        );
    }

    #[test]
    fn stored_and_sent_errors_keep_their_form() {
        let error = FieldError::new("tags", Fault::too_many(10));
        let text = r#"{"field":"tags","code":"too_many","params":{"max":10},"detail":"must have at most 10 entries"}"#;
        assert_eq!(serde_json::to_string(&error).unwrap(), text);
        let text = r#"{"field":"sku","code":"taken","detail":"is taken"}"#;
        let taken = FieldError::new("sku", Fault::taken());
        assert_eq!(serde_json::to_string(&taken).unwrap(), text);
        let old: FieldError = serde_json::from_str(r#"{"field":"sku","detail":"is taken"}"#).unwrap();
        assert_eq!(old, FieldError::new("sku", Fault::invalid("is taken")));
    }
}
