//! Orgs as services know them: always a UUID.

use crate::id::{Org, derived};
use uuid::Uuid;

/// The id of an org for services. One that came from LimaCharlie is a UUID already. Any other gets a UUID that is derived
/// from its name: the Python implementation answers HTTP 500 to whatever is none.
pub fn oid(org: &Org) -> Uuid {
    Uuid::try_parse(org.as_str()).unwrap_or_else(|_| derived("oid", &[org.as_str().as_bytes()]))
}

/// The org that an `oid` names, in whatever form the UUID is written: the names of such orgs are UUIDs in their usual form.
/// `None`: it is no UUID.
pub fn org_of_oid(oid: &str) -> Option<Org> {
    Uuid::try_parse(oid).ok()?.to_string().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oid_is_a_uuid_its_own_if_the_org_has_one() {
        let org: Org = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd".parse().unwrap();
        assert_eq!(oid(&org).to_string(), org.as_str());
        let (default, other) = (Org::default_org(), "other".parse().unwrap());
        assert_eq!(oid(&default), oid(&default));
        assert_ne!(oid(&default), oid(&other));
        assert_eq!(oid(&default).get_version_num(), 5);
    }

    #[test]
    fn an_org_has_one_name_however_its_oid_is_written() {
        let org = Some("8cbe27f4-bfa1-4afb-ba19-138cd51389cd".parse().unwrap());
        for form in [
            "8cbe27f4-bfa1-4afb-ba19-138cd51389cd",
            "8CBE27F4-BFA1-4AFB-BA19-138CD51389CD",
            "8cbe27f4bfa14afbba19138cd51389cd",
            "{8cbe27f4-bfa1-4afb-ba19-138cd51389cd}",
            "urn:uuid:8cbe27f4-bfa1-4afb-ba19-138cd51389cd",
        ] {
            assert_eq!(org_of_oid(form), org, "{form}");
        }
        assert_eq!(org_of_oid("acme"), None);
    }
}
