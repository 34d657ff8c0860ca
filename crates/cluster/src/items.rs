//! Takes a list apart while it arrives, so that no more of it is in memory than one item.
//!
//! An API server answers with all items of a page in one document, and whoever may make runs decides how large each is: fifty of them may
//! be 75 MB. JSON is only scanned here, for texts and brackets: what is between the brackets of one item is for the caller to read.

/// The largest item that is read. No API server stores one of that size: etcd takes 1.5 MB with a request.
pub(crate) const MOST_ITEM: usize = 4 * 1024 * 1024;
/// The most that a list may say beside its items.
const MOST_REST: usize = 256 * 1024;
/// The member of a list that has the items.
const MEMBER: &[u8] = b"items";

/// A list of which a part has arrived.
#[derive(Debug, Default)]
pub(crate) struct Items {
    /// How many brackets are open.
    depth: usize,
    place: Place,
    /// Whether the bytes are inside a text, and the one before was a backslash.
    in_text: bool,
    is_escaped: bool,
    /// The text that was last at depth 1, as far as it matters: the name of a member, once a colon follows.
    name: Vec<u8>,
    /// The item that is arriving.
    item: Vec<u8>,
    /// How much beside items has arrived.
    rest: usize,
}

/// Where in the list the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Beside the items.
    #[default]
    Rest,
    /// Between the brackets of `items`.
    Items,
    /// In one of them.
    Item,
}

/// What a list is made of, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Bytes that belong to no item.
    Rest(&'a [u8]),
    /// A whole item: an object.
    Item(&'a [u8]),
}

/// Why a list is not read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    /// An item is too large.
    #[error("an item of the list is larger than {} KiB", MOST_ITEM / 1024)]
    Item,
    /// What is no item is too large.
    #[error("the list has more than {} KiB beside its items", MOST_REST / 1024)]
    Rest,
    /// An item is no JSON.
    #[error("an item of the list is not understood")]
    Json(#[from] serde_json::Error),
}

impl Items {
    /// Takes the next bytes, and gives what is complete with them.
    pub(crate) fn take<E: From<ListError>>(
        &mut self,
        mut bytes: &[u8],
        mut give: impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let (length, place) = self.same_place(bytes);
            let (piece, left) = bytes.split_at(length);
            bytes = left;
            if place == Place::Item {
                if self.item.len() + piece.len() > MOST_ITEM {
                    return Err(ListError::Item.into());
                }
                self.item.extend_from_slice(piece);
                if self.place != Place::Item {
                    // Not kept for the next one: an item may be the only large one of thousands.
                    give(Part::Item(&std::mem::take(&mut self.item)))?;
                }
                continue;
            }
            self.rest += piece.len();
            if self.rest > MOST_REST {
                return Err(ListError::Rest.into());
            }
            give(Part::Rest(piece))?;
        }
        Ok(())
    }

    /// How many of the bytes are in one place, and in which; afterwards the place is that of the next byte. An item has its own brackets.
    fn same_place(&mut self, bytes: &[u8]) -> (usize, Place) {
        let mut place = self.place;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.in_text {
                at += self.text(&bytes[at..]);
                continue;
            }
            if self.place == Place::Items && self.depth == 2 && byte == b'{' {
                if at > 0 {
                    break;
                }
                (self.place, place) = (Place::Item, Place::Item);
            }
            self.sign(byte);
            at += 1;
            if self.place != place {
                break;
            }
        }
        (at, place)
    }

    /// Goes on inside a text; gives how many bytes belong to it.
    fn text(&mut self, bytes: &[u8]) -> usize {
        if self.is_escaped {
            self.is_escaped = false;
            self.remember(&bytes[..1]);
            return 1;
        }
        let end = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
        self.remember(&bytes[..end.unwrap_or(bytes.len())]);
        let Some(end) = end else {
            return bytes.len();
        };
        self.in_text = bytes[end] != b'"';
        self.is_escaped = self.in_text;
        end + 1
    }

    /// One byte outside of texts.
    fn sign(&mut self, byte: u8) {
        match byte {
            b'"' => {
                self.in_text = true;
                self.name.clear();
            }
            b'{' | b'[' => {
                self.depth += 1;
                let is_list = self.depth == 2 && byte == b'[' && self.name == MEMBER;
                if is_list && self.place == Place::Rest {
                    self.place = Place::Items;
                }
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.place = match (self.place, self.depth) {
                    (Place::Item, 2) => Place::Items,
                    (Place::Items, 1) => Place::Rest,
                    (place, _) => place,
                };
                self.name.clear();
            }
            // A text that ends a member names none.
            b',' => self.name.clear(),
            _ => {}
        }
    }

    fn remember(&mut self, text: &[u8]) {
        if self.depth == 1 {
            let room = (MEMBER.len() + 1).saturating_sub(self.name.len());
            self.name.extend_from_slice(&text[..text.len().min(room)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a list is taken apart into when it arrives in pieces of a size.
    fn apart(list: &str, size: usize) -> (String, Vec<String>) {
        let (mut rest, mut items) = (Vec::new(), Vec::new());
        let mut list_items = Items::default();
        for piece in list.as_bytes().chunks(size) {
            let given = list_items.take(piece, |part| {
                match part {
                    Part::Rest(bytes) => rest.extend_from_slice(bytes),
                    Part::Item(bytes) => {
                        items.push(String::from_utf8(bytes.to_vec()).expect("it is UTF-8"));
                    }
                }
                Ok::<_, ListError>(())
            });
            given.expect("it is small");
        }
        (String::from_utf8(rest).expect("it is UTF-8"), items)
    }

    #[test]
    fn a_list_is_taken_apart_wherever_it_is_cut() {
        let items = [
            r#"{"a":"}]\"","items":[{"b":{}}]}"#,
            "{}",
            r#"{"c":"\\","d":[[]], "e" : "ü\u0022{"}"#,
        ];
        let list = |items: &str| {
            format!(
                r#"{{"kind":"items","metadata":{{"continue":"[{{","items":[{{}}]}}, "items" : [{items} ],"x":["items",{{"items":[{{}}]}}]}}{}"#,
                "\n"
            )
        };
        let whole = list(&items.join(" , "));
        for size in 1..=whole.len() {
            let (rest, found) = apart(&whole, size);
            assert_eq!(found, items, "in pieces of {size}");
            assert_eq!(rest, list(" ,  , "), "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_list_of_objects_has_no_items() {
        for text in [
            "",
            r#"{"kind":"Status","message":"items"}"#,
            r#"{"items":[]}"#,
            r#"{"items":null}"#,
            r#"{"items":[null,1,"{",[{}]]}"#,
            r#"{"a":"items","b":[{}]}"#,
            r#"["items",[{}]]"#,
            "}}]]",
        ] {
            for size in 1..=text.len().max(1) {
                assert_eq!(apart(text, size), (text.to_owned(), Vec::new()));
            }
        }
    }

    #[test]
    fn neither_an_item_nor_what_is_beside_them_grows_for_ever() {
        let feed = |begin: &str, times: usize| {
            let mut items = Items::default();
            let none = |_: Part<'_>| Ok::<_, ListError>(());
            items.take(begin.as_bytes(), none)?;
            let filling = [b'x'; 1024];
            (0..times).try_for_each(|_| items.take(&filling, none))
        };
        let item = r#"{"items":[{"a":""#;
        feed(item, MOST_ITEM / 1024 - 1).expect("an item may be so large");
        let error = feed(item, MOST_ITEM / 1024).expect_err("it is too large");
        assert!(matches!(error, ListError::Item), "{error}");
        let rest = r#"{"a":""#;
        feed(rest, MOST_REST / 1024 - 1).expect("a list may say so much");
        let error = feed(rest, MOST_REST / 1024).expect_err("it is too much");
        assert!(matches!(error, ListError::Rest), "{error}");
    }
}
