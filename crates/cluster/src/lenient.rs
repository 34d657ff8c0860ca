//! Reads from a document what is of the type that is wanted, and passes over everything else.
//!
//! Types of Tekton's runs let unknown fields through, so that whoever may make a run may put a number where a text belongs. What is derived
//! with serde fails then, and with it the page of a list or the watch of everybody's runs. Here such a field is absent. Nothing is kept of
//! what is passed over, however large or deep it is.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A part of a document. Each function is for a value of one type; what a part has no function for leaves it as it is by default.
pub(crate) trait Part: Default {
    /// A text.
    fn of_text(_: &str) -> Self {
        Self::default()
    }

    /// A truth value.
    fn of_flag(_: bool) -> Self {
        Self::default()
    }

    /// A member of an object: the value is read or left.
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        _: &str,
        value: Member<'_, A>,
    ) -> Result<(), A::Error> {
        value.skip()
    }

    /// The next element of a list; `None` at its end.
    fn element<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<Option<()>, A::Error> {
        list.next_element::<IgnoredAny>()
            .map(|element| element.map(drop))
    }
}

/// Makes a part of members that each have a field of their own.
macro_rules! members {
    ($part:ident { $($name:literal => $field:ident),+ $(,)? }) => {
        impl $crate::lenient::Part for $part {
            fn member<'de, A: serde::de::MapAccess<'de>>(
                &mut self,
                name: &str,
                value: $crate::lenient::Member<'_, A>,
            ) -> Result<(), A::Error> {
                match name {
                    $($name => value.into(&mut self.$field),)+
                    _ => value.skip(),
                }
            }
        }
    };
}
pub(crate) use members;

/// The value of a member, not read yet.
pub(crate) struct Member<'m, A>(&'m mut A);

impl<'de, A: MapAccess<'de>> Member<'_, A> {
    /// Reads it into its place.
    pub(crate) fn into<T: Part>(self, place: &mut T) -> Result<(), A::Error> {
        *place = self.0.next_value::<Lenient<T>>()?.0;
        Ok(())
    }

    /// Passes over it.
    pub(crate) fn skip(self) -> Result<(), A::Error> {
        self.0.next_value::<IgnoredAny>().map(drop)
    }
}

/// A part as serde reads it.
pub(crate) struct Lenient<T>(pub(crate) T);

impl<'de, T: Part> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(OfAnything(PhantomData))
            .map(Self)
    }
}

struct OfAnything<T>(PhantomData<T>);

impl<'de, T: Part> Visitor<'de> for OfAnything<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_bool<E>(self, flag: bool) -> Result<T, E> {
        Ok(T::of_flag(flag))
    }

    fn visit_i64<E>(self, _: i64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<T, E> {
        Ok(T::of_text(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<T, A::Error> {
        let mut part = T::default();
        while let Some(name) = map.next_key::<String>()? {
            part.member(&name, Member(&mut map))?;
        }
        Ok(part)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut part = T::default();
        while part.element(&mut list)?.is_some() {}
        Ok(part)
    }
}
