//! The JSON schemas of bodies, as rows of the route table name them.

#[cfg(feature = "openapi")]
use utoipa::openapi::RefOr;

/// Schemas by name, as `utoipa` collects them.
#[cfg(feature = "openapi")]
pub(crate) type Schemas = Vec<(String, RefOr<utoipa::openapi::Schema>)>;

/// The JSON schema of a body.
#[derive(Clone)]
pub struct Schema {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    #[cfg(feature = "openapi")]
    pub(crate) collect: fn(&mut Schemas),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    One,
    List,
    /// A merge patch, without the fields that cannot change.
    Patch {
        without: &'static [&'static str],
    },
}

impl Schema {
    /// A `T`.
    #[must_use]
    pub fn of<T: utoipa::ToSchema>() -> Self {
        #[cfg(feature = "openapi")]
        let collect = |schemas: &mut Schemas| {
            schemas.push((T::name().into_owned(), T::schema()));
            T::schemas(schemas);
        };
        Self {
            name: T::name().into_owned(),
            shape: Shape::One,
            #[cfg(feature = "openapi")]
            collect,
        }
    }

    /// A page of `T`s.
    #[must_use]
    pub fn list_of<T: utoipa::ToSchema>() -> Self {
        Self {
            shape: Shape::List,
            ..Self::of::<T>()
        }
    }

    /// A merge patch of a `T`, with this name, such as `UpdateOrder`.
    #[must_use]
    pub fn patch_of<T: utoipa::ToSchema>(name: &str) -> Self {
        let mut schema = Self::of::<T>();
        name.clone_into(&mut schema.name);
        schema.without(&[])
    }

    /// Leaves fields that cannot change out of a merge patch.
    #[must_use]
    pub fn without(mut self, fields: &'static [&'static str]) -> Self {
        self.shape = Shape::Patch { without: fields };
        self
    }
}
