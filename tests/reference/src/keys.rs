//! Which keys a type has, asked of serde: a deserializer that walks to a place and notes what is expected there.

use std::cell::RefCell;

use serde::Deserializer;
use serde::de::value::Error;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

/// What is expected at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// `Option`: it may be left out.
    pub optional: bool,
    /// A list of what `shape` says.
    pub list: bool,
    pub shape: Shape,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Something that this walk does not know. Nothing of ours is.
    #[default]
    Unknown,
    Truth,
    Whole,
    Fraction,
    Text,
    /// Names of an enumeration.
    Choice(&'static [&'static str]),
    /// Keys that the user chooses.
    Map,
    /// A type of ours, and its keys in the order of its source.
    Table {
        name: &'static str,
        keys: &'static [&'static str],
    },
}

/// What `T` expects at `path`, which is empty for the whole file.
pub(crate) fn expected<T: DeserializeOwned>(path: &[&str]) -> Expected {
    let seen = RefCell::default();
    // It ends with an error always: nothing is read, and what was to be learnt is in `seen`.
    let _ = T::deserialize(Walk { path, seen: &seen });
    seen.into_inner()
}

#[derive(Clone, Copy)]
struct Walk<'a> {
    path: &'a [&'a str],
    seen: &'a RefCell<Expected>,
}

impl Walk<'_> {
    fn is_there(&self) -> bool {
        self.path.is_empty()
    }

    fn note<T>(self, shape: Shape) -> Result<T, Error> {
        if self.is_there() {
            self.seen.borrow_mut().shape = shape;
        }
        Err(Error::custom("noted"))
    }
}

macro_rules! notes {
    ($($method:ident: $shape:expr),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            self.note($shape)
        })*
    };
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = Error;

    notes! {
        deserialize_any: Shape::Unknown,
        deserialize_bool: Shape::Truth,
        deserialize_i8: Shape::Whole,
        deserialize_i16: Shape::Whole,
        deserialize_i32: Shape::Whole,
        deserialize_i64: Shape::Whole,
        deserialize_u8: Shape::Whole,
        deserialize_u16: Shape::Whole,
        deserialize_u32: Shape::Whole,
        deserialize_u64: Shape::Whole,
        deserialize_f32: Shape::Fraction,
        deserialize_f64: Shape::Fraction,
        deserialize_char: Shape::Text,
        deserialize_str: Shape::Text,
        deserialize_string: Shape::Text,
        deserialize_bytes: Shape::Unknown,
        deserialize_byte_buf: Shape::Unknown,
        deserialize_unit: Shape::Unknown,
        deserialize_map: Shape::Map,
        deserialize_identifier: Shape::Unknown,
        deserialize_ignored_any: Shape::Unknown,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_there() {
            self.seen.borrow_mut().optional = true;
        }
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_there() {
            self.seen.borrow_mut().list = true;
        }
        visitor.visit_seq(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.is_there() {
            return self.note(Shape::Table { name, keys });
        }
        visitor.visit_map(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.note(Shape::Choice(variants))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        self.note(Shape::Unknown)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: V,
    ) -> Result<V::Value, Error> {
        self.note(Shape::Unknown)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Error> {
        self.note(Shape::Unknown)
    }
}

/// A list's only element: what it expects is told, and then all ends.
impl<'de> SeqAccess<'de> for Walk<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        seed.deserialize(*self).map(Some)
    }
}

/// A table's only key: the next of the path.
impl<'de> MapAccess<'de> for Walk<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((key, rest)) = self.path.split_first() else {
            return Ok(None);
        };
        self.path = rest;
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "serde is asked for its keys only")]
    struct Whole {
        #[serde(rename = "item")]
        items: Vec<Item>,
        names: BTreeMap<String, String>,
    }

    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "serde is asked for its keys only")]
    struct Item {
        path: Option<PathBuf>,
        address: std::net::SocketAddr,
        choice: Choice,
        share: f64,
        numbers: Vec<u16>,
        wanted: bool,
    }

    #[derive(serde::Deserialize)]
    enum Choice {
        #[serde(rename = "a")]
        A,
        B,
    }

    #[test]
    fn every_key_is_known_as_serde_knows_it() {
        let shape = |path: &[&str]| expected::<Whole>(path);
        let plain = |shape| Expected {
            shape,
            ..Expected::default()
        };
        let keys = &["item", "names"];
        let whole = Shape::Table {
            name: "Whole",
            keys,
        };
        assert_eq!(shape(&[]), plain(whole));
        assert!(shape(&["item"]).list, "a list of tables");
        assert!(matches!(shape(&["item"]).shape, Shape::Table { keys, .. } if keys.len() == 6));
        assert_eq!(shape(&["names"]), plain(Shape::Map));
        assert_eq!(shape(&["item", "address"]), plain(Shape::Text));
        assert_eq!(
            shape(&["item", "choice"]),
            plain(Shape::Choice(&["a", "B"]))
        );
        assert_eq!(shape(&["item", "share"]), plain(Shape::Fraction));
        assert_eq!(shape(&["item", "wanted"]), plain(Shape::Truth));
        let path = Expected {
            optional: true,
            ..plain(Shape::Text)
        };
        assert_eq!(shape(&["item", "path"]), path);
        let numbers = Expected {
            list: true,
            ..plain(Shape::Whole)
        };
        assert_eq!(shape(&["item", "numbers"]), numbers);
        assert_eq!(shape(&["nobody"]), Expected::default());
    }
}
