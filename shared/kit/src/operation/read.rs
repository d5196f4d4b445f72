//! Deserializes JSON with errors that clients understand.
//!
//! serde's own error is a text in the words of Rust. The error here, [`Misfit`], keeps what serde says as a [`Fault`], and the
//! deserializer compares the JSON type itself, because it knows what was asked for. Unlike that of `serde_json` it takes no
//! array for a struct, and a blank text for an optional value is no value, as forms send it.

use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{self, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_json::{Number, Value};
use souk_core::{Fault, FieldCode};

/// Why a value cannot be deserialized.
#[derive(Debug)]
pub(super) struct Misfit {
    /// The field of the value that is missing or unknown.
    pub(super) field: Option<String>,
    pub(super) fault: Fault,
}

impl Misfit {
    fn wrong_type<T>(expected: &str, found: &Value) -> Result<T, Self> {
        Err(match found {
            Value::Null => Fault::required().into(),
            _ => Fault::wrong_type(expected).into(),
        })
    }
}

impl From<Fault> for Misfit {
    fn from(fault: Fault) -> Self {
        Self { field: None, fault }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.fault, f)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    /// A value that a type with a format of its own does not take, such as a time.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Fault::format("is not written as it must be").into()
    }

    // The deserializer below has compared the type, unless a type takes several.
    fn invalid_type(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Fault::new(FieldCode::WrongType, "has the wrong type").into()
    }

    fn invalid_value(_: Unexpected<'_>, _: &dyn Expected) -> Self {
        Fault::invalid("is not a valid value").into()
    }

    fn invalid_length(_: usize, _: &dyn Expected) -> Self {
        Fault::invalid("has another number of entries than it must").into()
    }

    fn unknown_variant(_: &str, allowed: &'static [&'static str]) -> Self {
        Fault::not_one_of(allowed).into()
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self {
            field: Some(field.to_owned()),
            fault: Fault::unknown_field(),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            field: Some(field.to_owned()),
            fault: Fault::required(),
        }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self {
            field: Some(field.to_owned()),
            fault: Fault::duplicate(),
        }
    }
}

/// A JSON value to deserialize.
#[derive(Clone, Copy)]
pub(super) struct Json<'de>(pub(super) &'de Value);

impl<'de> IntoDeserializer<'de, Misfit> for Json<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

/// Methods for integers: of the right JSON type and in range.
macro_rules! integers {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            let Value::Number(number) = self.0 else {
                return Misfit::wrong_type("integer", self.0);
            };
            let whole = number.as_i64().map(i128::from).or(number.as_u64().map(i128::from));
            match whole.map(<$type>::try_from) {
                Some(Ok(value)) => visitor.$visit(value),
                Some(Err(_)) => Err(Fault::out_of_range(<$type>::MIN, <$type>::MAX).into()),
                None => Misfit::wrong_type("integer", self.0),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Json<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => visit_number(number, visitor),
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(list) => {
                let mut entries = SeqDeserializer::new(list.iter().map(Json));
                let value = visitor.visit_seq(&mut entries)?;
                entries.end()?;
                Ok(value)
            }
            Value::Object(fields) => {
                let mut fields = MapDeserializer::new(fields.iter().map(|(name, value)| (name.as_str(), Json(value))));
                let value = visitor.visit_map(&mut fields)?;
                fields.end()?;
                Ok(value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            Value::String(text) if text.trim().is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Bool(_) => self.deserialize_any(visitor),
            other => Misfit::wrong_type("boolean", other),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Number(_) => self.deserialize_any(visitor),
            other => Misfit::wrong_type("number", other),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::String(_) => self.deserialize_any(visitor),
            other => Misfit::wrong_type("string", other),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Array(_) => self.deserialize_any(visitor),
            other => Misfit::wrong_type("array", other),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            other => Misfit::wrong_type("object", other),
        }
    }

    /// Null for a field means the same as its absence.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let Value::Object(fields) = self.0 else {
            return Misfit::wrong_type("object", self.0);
        };
        let given = fields.iter().filter(|(_, value)| !value.is_null());
        let mut given = MapDeserializer::new(given.map(|(name, value)| (name.as_str(), Json(value))));
        let value = visitor.visit_map(&mut given)?;
        given.end()?;
        Ok(value)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        allowed: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.as_str(), Json(value)));
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(fields)))
            }
            Value::Null => Err(Fault::required().into()),
            _ => Err(Fault::not_one_of(allowed).into()),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Misfit> {
    if let Some(value) = number.as_u64() {
        visitor.visit_u64(value)
    } else if let Some(value) = number.as_i64() {
        visitor.visit_i64(value)
    } else {
        visitor.visit_f64(number.as_f64().unwrap_or_default())
    }
}
