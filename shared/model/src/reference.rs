//! The schemas of ids that `include` may expand to the thing itself. What they name is declared by the functions that own it.

use std::borrow::Cow;

use utoipa::openapi::schema::{OneOfBuilder, Type};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The id of an account, or its profile.
pub enum AccountReference {}
/// The id of a category, or the category itself.
pub enum CategoryReference {}
/// The id of a vendor, or the vendor itself.
pub enum VendorReference {}

fn id_or(schema: &str, about: &str) -> RefOr<Schema> {
    let id = ObjectBuilder::new().schema_type(Type::String).build();
    let either = OneOfBuilder::new().item(id).item(Ref::from_schema_name(schema));
    RefOr::T(Schema::OneOf(either.description(Some(about)).build()))
}

impl PartialSchema for AccountReference {
    fn schema() -> RefOr<Schema> {
        id_or("Profile", "The id of an account, or its profile with `include`.")
    }
}

impl PartialSchema for CategoryReference {
    fn schema() -> RefOr<Schema> {
        id_or(
            "Category",
            "The id of a category, or the category itself with `include`.",
        )
    }
}

impl PartialSchema for VendorReference {
    fn schema() -> RefOr<Schema> {
        id_or("Vendor", "The id of a vendor, or the vendor itself with `include`.")
    }
}

impl ToSchema for AccountReference {
    fn name() -> Cow<'static, str> {
        "AccountReference".into()
    }
}

impl ToSchema for CategoryReference {
    fn name() -> Cow<'static, str> {
        "CategoryReference".into()
    }
}

impl ToSchema for VendorReference {
    fn name() -> Cow<'static, str> {
        "VendorReference".into()
    }
}
