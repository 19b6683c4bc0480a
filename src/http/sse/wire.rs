//! Server-sent events as text.

use super::super::problem::ApiError;
use actix_web::web::Bytes;
use serde::Serialize;
use std::fmt::Display;

/// A sign of life, with the place to go on from if it has moved. The line is a comment: readers pass it over.
pub(super) fn alive(reached: Option<impl Display>) -> Bytes {
    match reached {
        None => Bytes::from_static(b": alive\n\n"),
        Some(place) => format!(": alive\nid: {place}\n\n").into(),
    }
}

/// The place to go on from, and nothing that a reader would be shown.
pub(in super::super) fn reached(place: impl Display) -> Bytes {
    format!("id: {place}\n\n").into()
}

/// A block with data, and with its place where the stream has such. Names and JSON have no ends of lines.
pub(in super::super) fn block(
    place: Option<impl Display>,
    name: &str,
    data: &impl Serialize,
) -> Result<Bytes, ApiError> {
    let data = serde_json::to_string(data).map_err(|error| ApiError::internal("write an event", error))?;
    let place = place.map_or_else(String::new, |place| format!("id: {place}\n"));
    Ok(format!("{place}event: {name}\ndata: {data}\n\n").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_its_place_where_there_is_one() {
        let text = |place: Option<u64>| block(place, "job", &[1, 2]).expect("written");
        assert_eq!(text(Some(7)), "id: 7\nevent: job\ndata: [1,2]\n\n");
        assert_eq!(text(None), "event: job\ndata: [1,2]\n\n");
    }

    #[test]
    fn a_sign_of_life_tells_the_place_when_it_moved() {
        assert_eq!(alive(Some(9)), ": alive\nid: 9\n\n");
        assert_eq!(alive(None::<u64>), ": alive\n\n");
    }
}
