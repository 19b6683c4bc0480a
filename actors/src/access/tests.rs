//! Tests of tokens and keys.

use super::*;
use crate::clock::ManualClock;
use crate::store::Options;
use tempfile::TempDir;
use tripline_protocol::{HostId, Org, Sha256};

struct World {
    _dir: TempDir,
    store: Store,
    clock: ManualClock,
    access: Access,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&Options::new(dir.path())).unwrap();
    let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
    let access = Access::new(store.clone(), Arc::new(clock.clone()));
    World {
        _dir: dir,
        store,
        clock,
        access,
    }
}

fn request(role: Role) -> CreateToken {
    CreateToken {
        name: "somebody".to_owned(),
        role,
        org: None,
        uses: None,
        expires: None,
    }
}

fn org(name: &str) -> Org {
    name.parse().unwrap()
}

#[tokio::test]
async fn a_token_authenticates_its_holder_and_nobody_else() {
    let world = world();
    let created = world
        .access
        .create(CreateToken {
            org: Some(org("acme")),
            ..request(Role::Operator)
        })
        .await
        .unwrap();
    let principal = world.access.authenticate(&created.token).unwrap();
    assert_eq!(
        principal,
        Principal {
            token_id: created.view.id.clone(),
            name: "somebody".to_owned(),
            role: Role::Operator,
            org: Some(org("acme")),
            place: None,
            depth: None,
        }
    );
    let (head, secret) = created.token.split_once('.').unwrap();
    assert_eq!(head, format!("tl_{}", created.view.id));
    assert_eq!(URL_SAFE_NO_PAD.decode(secret).unwrap().len(), 32);
    for wrong in [
        "",
        "tl_",
        head,
        secret,
        &format!("{head}."),
        &format!("{head}.x"),
        &created.token[1..],
    ] {
        assert_eq!(world.access.authenticate(wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn the_store_never_has_a_secret() {
    let world = world();
    let created = world.access.create(request(Role::Admin)).await.unwrap();
    world
        .access
        .ensure_admin("configured-administrator")
        .await
        .unwrap();
    let (_, secret) = created.token.split_once('.').unwrap();
    for (_, value) in world
        .store
        .scan(crate::store::Table::Token, b"", None, 100)
        .unwrap()
    {
        let text = String::from_utf8_lossy(&value).into_owned();
        assert!(!text.contains(secret) && !text.contains("configured"), "{text}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_nobodys() {
    let world = world();
    let created = world.access.create(request(Role::Viewer)).await.unwrap();
    assert_eq!(world.access.list().unwrap(), std::slice::from_ref(&created.view));
    world.access.revoke(&created.view.id).await.unwrap();
    assert_eq!(world.access.authenticate(&created.token), None);
    assert_eq!(world.access.list().unwrap(), []);
    let again = world.access.revoke(&created.view.id).await.unwrap_err();
    assert_eq!(again.code(), "not_found");
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_the_next_one_made_removes_it() {
    let world = world();
    let expires = Some(Span::from_secs(10));
    let created = world
        .access
        .create(CreateToken {
            expires,
            ..request(Role::Viewer)
        })
        .await
        .unwrap();
    world.clock.advance(Span::from_millis(9_999));
    assert!(world.access.authenticate(&created.token).is_some());
    world.clock.advance(Span::from_millis(1));
    assert!(world.access.authenticate(&created.token).is_none());
    let next = world.access.create(request(Role::Viewer)).await.unwrap();
    assert_eq!(world.access.list().unwrap(), [next.view]);
}

#[tokio::test]
async fn bad_requests_are_refused_and_make_nothing() {
    let world = world();
    let long = "x".repeat(65);
    for (wrong, code) in [
        (
            CreateToken {
                name: String::new(),
                ..request(Role::Viewer)
            },
            "token_name",
        ),
        (
            CreateToken {
                name: long,
                ..request(Role::Viewer)
            },
            "token_name",
        ),
        (
            CreateToken {
                name: "two\nlines".to_owned(),
                ..request(Role::Viewer)
            },
            "token_name",
        ),
        (
            CreateToken {
                uses: Some(1),
                ..request(Role::Viewer)
            },
            "token_uses",
        ),
        (
            CreateToken {
                uses: Some(0),
                ..request(Role::Enrol)
            },
            "token_uses",
        ),
        (
            CreateToken {
                expires: Some(Span::ZERO),
                ..request(Role::Viewer)
            },
            "token_expires",
        ),
    ] {
        assert_eq!(world.access.create(wrong).await.unwrap_err().code(), code);
    }
    assert_eq!(
        world.access.ensure_admin("short").await.unwrap_err().code(),
        "admin_token"
    );
    assert_eq!(world.access.list().unwrap(), []);
}

#[tokio::test]
async fn the_administrators_token_is_what_the_configuration_says_last() {
    let world = world();
    let generated = generate_admin_token().unwrap();
    world.access.ensure_admin(&generated).await.unwrap();
    assert_eq!(world.access.authenticate(&generated).unwrap().role, Role::Admin);
    for configured in ["configured-administrator", "tl_looks.like-one-of-ours"] {
        world.access.ensure_admin(configured).await.unwrap();
        world.access.ensure_admin(configured).await.unwrap();
        assert_eq!(world.access.authenticate(configured).unwrap().token_id, ADMIN_ID);
        assert_eq!(world.access.authenticate(&generated), None);
    }
    assert_eq!(
        world.access.revoke(ADMIN_ID).await.unwrap_err().code(),
        "admin_token"
    );
}

#[test]
fn roles_contain_those_below_and_enrolling_is_apart() {
    use Role::{Admin, Enrol, Operator, Viewer};
    let roles = [Enrol, Viewer, Operator, Admin];
    let may = |role| {
        let holder = Principal {
            token_id: String::new(),
            name: String::new(),
            role,
            org: None,
            place: None,
            depth: None,
        };
        roles.map(|needed| holder.may(needed))
    };
    assert_eq!(may(Enrol), [true, false, false, false]);
    assert_eq!(may(Viewer), [false, true, false, false]);
    assert_eq!(may(Operator), [false, true, true, false]);
    assert_eq!(may(Admin), [true, true, true, true]);
}

#[test]
fn a_bound_token_acts_in_its_org_only() {
    let holder = |bound| Principal {
        token_id: String::new(),
        name: String::new(),
        role: Role::Admin,
        org: bound,
        place: None,
        depth: None,
    };
    let acme = org("acme");
    assert_eq!(holder(None).org_for(None), Ok(None));
    assert_eq!(holder(None).org_for(Some(&acme)), Ok(Some(acme.clone())));
    assert_eq!(holder(Some(acme.clone())).org_for(None), Ok(Some(acme.clone())));
    assert_eq!(
        holder(Some(acme.clone())).org_for(Some(&acme)),
        Ok(Some(acme.clone()))
    );
    let refused = holder(Some(acme)).org_for(Some(&org("other"))).unwrap_err();
    assert_eq!(refused.code(), "forbidden");
}

#[tokio::test]
async fn an_enrolment_token_is_taken_as_often_as_it_says() {
    let world = world();
    let created = world
        .access
        .create(CreateToken {
            uses: Some(2),
            ..request(Role::Enrol)
        })
        .await
        .unwrap();
    let take = || {
        let mut batch = Batch::new();
        let taken = take_use(&world.store, &mut batch, &created.view.id, world.clock.now());
        world.store.commit(batch, || {});
        taken.map(|record| record.uses_left)
    };
    assert_eq!(take(), Ok(Some(1)));
    assert_eq!(world.access.list().unwrap()[0].uses_left, Some(1));
    assert_eq!(take(), Ok(Some(0)));
    assert_eq!(take().unwrap_err().code(), "forbidden");
    assert!(
        world.access.authenticate(&created.token).is_some(),
        "an agent may enrol again"
    );
}

#[tokio::test]
async fn taking_a_use_does_not_bring_a_revoked_token_back() {
    let world = world();
    let created = world
        .access
        .create(CreateToken {
            uses: Some(2),
            ..request(Role::Enrol)
        })
        .await
        .unwrap();
    let mut batch = Batch::new();
    take_use(&world.store, &mut batch, &created.view.id, world.clock.now()).unwrap();
    world.access.revoke(&created.view.id).await.unwrap();
    commit(&world.store, batch).await.unwrap();
    assert_eq!(world.access.authenticate(&created.token), None);
    assert_eq!(world.access.list().unwrap(), []);
}

#[tokio::test]
async fn a_token_whose_uses_are_lost_has_none_left() {
    let world = world();
    let created = world
        .access
        .create(CreateToken {
            uses: Some(2),
            ..request(Role::Enrol)
        })
        .await
        .unwrap();
    let mut batch = Batch::new();
    batch.delete(crate::store::Table::Token, format!("u{}", created.view.id));
    commit(&world.store, batch).await.unwrap();
    let taken = take_use(
        &world.store,
        &mut Batch::new(),
        &created.view.id,
        world.clock.now(),
    );
    assert_eq!(taken.unwrap_err().code(), "forbidden");
}

#[tokio::test]
async fn only_enrolment_and_administrators_tokens_enrol() {
    let world = world();
    let expires = Some(Span::from_secs(1));
    let mut outcomes = Vec::new();
    for role in [Role::Enrol, Role::Viewer, Role::Operator, Role::Admin] {
        let created = world
            .access
            .create(CreateToken {
                expires,
                ..request(role)
            })
            .await
            .unwrap();
        let now = world.clock.now();
        let take = |now| take_use(&world.store, &mut Batch::new(), &created.view.id, now).is_ok();
        outcomes.push((take(now), take(now.after(Span::from_secs(1)))));
    }
    assert_eq!(
        outcomes,
        [(true, false), (false, false), (false, false), (true, false)]
    );
}

#[tokio::test]
async fn a_key_belongs_to_its_host_until_it_is_revoked() {
    let world = world();
    let key = Sha256::from_digest(&[0xa7; 32]);
    let host_id: HostId = "b5a3b9a4-6f0e-4f0e-9c55-6e6d31f02b11".parse().unwrap();
    let record = AgentKeyRecord::new(host_id, world.clock.now());
    assert_eq!(host_of_key(&world.store, &key), Ok(None));
    let mut batch = Batch::new();
    put_key(&mut batch, &key, &record).unwrap();
    commit(&world.store, batch).await.unwrap();
    assert_eq!(host_of_key(&world.store, &key), Ok(Some(host_id)));
    assert_eq!(
        agent_keys(&world.store, None, 10).unwrap(),
        [(key.clone(), record)]
    );
    assert_eq!(agent_keys(&world.store, Some(&key), 10).unwrap(), []);
    let mut batch = Batch::new();
    revoke_key(&world.store, &mut batch, &key, world.clock.now()).unwrap();
    commit(&world.store, batch).await.unwrap();
    assert_eq!(host_of_key(&world.store, &key), Ok(None));
    assert!(
        agent_keys(&world.store, None, 10).unwrap()[0]
            .1
            .revoked_at
            .is_some()
    );
}

#[tokio::test]
async fn nothing_is_made_once_the_store_is_closed() {
    let world = world();
    world.store.flush_and_close();
    assert_eq!(
        world
            .access
            .create(request(Role::Viewer))
            .await
            .unwrap_err()
            .code(),
        "unavailable"
    );
}

#[tokio::test]
async fn there_are_so_many_tokens_and_another_only_when_one_is_revoked() {
    let world = world();
    let mut batch = Batch::new();
    for number in 1..TOKENS_MAX {
        let id = format!("{number:016x}");
        let record = TokenRecord::new(id, "text", request(Role::Viewer), world.clock.now());
        record.put(&mut batch).unwrap();
    }
    commit(&world.store, batch).await.unwrap();
    let last = world.access.create(request(Role::Viewer)).await.unwrap();
    let refused = world.access.create(request(Role::Viewer)).await.unwrap_err();
    assert_eq!(refused.code(), "too_many_tokens");
    assert_eq!(world.access.list().unwrap().len(), TOKENS_MAX, "nothing was made");
    world.access.revoke(&last.view.id).await.unwrap();
    world.access.create(request(Role::Viewer)).await.unwrap();
}

/// Knows one token until a time.
struct OneService(Timestamp);

impl Bearers for OneService {
    fn principal(&self, token: &str, now: Timestamp) -> Option<Principal> {
        let holder = Principal {
            token_id: "service-yara".to_owned(),
            name: "service yara".to_owned(),
            role: Role::Viewer,
            org: Some(org("acme")),
            place: None,
            depth: Some(2),
        };
        (token == "of.a.service" && now < self.0).then_some(holder)
    }
}

#[tokio::test]
async fn a_token_of_a_service_is_one_for_the_own_api_alone() {
    let world = world();
    let created = world.access.create(request(Role::Operator)).await.unwrap();
    let until = world.clock.now().after(Span::from_secs(60));
    let access = world.access.clone().with_bearers(Arc::new(OneService(until)));
    let holder = access.caller("of.a.service").unwrap();
    assert_eq!((holder.role, holder.depth), (Role::Viewer, Some(2)));
    assert_eq!(access.authenticate("of.a.service"), None);
    assert_eq!(world.access.caller("of.a.service"), None, "without services");
    assert_eq!(access.caller("of.no.service"), None);
    assert_eq!(access.caller(&created.token), access.authenticate(&created.token));
    world.clock.advance(Span::from_secs(60));
    assert_eq!(access.caller("of.a.service"), None);
}
