//! The client's own job API: many jobs over many hosts, by workers that keep their sessions.

use crate::scene::Scene;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How many sessions each sensor had.
async fn sessions_by_sensor(scene: &Scene) -> BTreeMap<u64, usize> {
    let answer = scene.api().get("/v1/sessions?limit=500").await;
    let mut found = BTreeMap::new();
    for session in answer.body["items"].as_array().expect("a list") {
        *found
            .entry(session["sensor_id"].as_u64().expect("a number"))
            .or_default() += 1;
    }
    found
}

#[tokio::test]
async fn jobs_over_several_hosts_end_with_their_values_and_failing_ones_with_their_exceptions() {
    let scene = Scene::start_with(&[], 3).await;
    let said = scene
        .run(
            r#"
            from cbapi.live_response_api import GetFileJob

            def greet(lr):
                return lr.create_process(f"echo from {lr.sensor_id}").decode()

            def break_(lr):
                raise ValueError(f"of {lr.sensor_id}")

            def miss(lr):
                return lr.get_file("/none/such")

            cb = connect()
            jobs = [greet, break_, miss, GetFileJob(given.path).run, greet]
            futures = [cb.live_response.submit_job(job, sensor) for job in jobs for sensor in cb.select(Sensor)]
            for future in futures:
                error = future.exception()
                say([type(error).__name__, str(error)] if error else future.result())
            "#,
            json!({"path": scene.site.write("file", "content")}),
        )
        .await;
    let for_each = |result: &dyn Fn(u32) -> Value| (1..=3).map(result).collect::<Vec<Value>>();
    let greeted = for_each(&|sensor| json!(format!("from {sensor}\n")));
    let missing = "Win32 error code 0x80070002 (ERROR_FILE_NOT_FOUND)";
    let expected = [
        greeted.clone(),
        for_each(&|sensor| json!(["ValueError", format!("of {sensor}")])),
        for_each(&|_| json!(["LiveResponseError", missing])),
        for_each(&|_| json!("content")),
        greeted,
    ];
    assert_eq!(said, expected.concat());
    assert_eq!(
        sessions_by_sensor(&scene).await,
        BTreeMap::from([(1, 1), (2, 1), (3, 1)]),
        "a worker does all jobs of its sensor in one session"
    );
}

#[tokio::test]
async fn more_hosts_than_workers_and_more_workers_than_slots_are_all_served() {
    let scene = Scene::start_with(&[("slots.total", "6")], 12).await;
    let said = scene
        .ask(
            r#"
            cb = connect()
            submit = cb.live_response.submit_job
            futures = [submit(lambda lr: lr.create_process(f"echo {lr.sensor_id}").decode(), sensor)
                       for round in range(2) for sensor in range(1, 13)]
            say([int(future.result()) for future in futures])
            "#,
            json!({}),
        )
        .await;
    let twice: Vec<u32> = (1..=12).chain(1..=12).collect();
    assert_eq!(said, json!(twice));
    let slots = scene.api().slots().await;
    let held = slots.slots.iter().filter(|slot| slot.session.is_some()).count();
    assert!(held <= 4, "two are for jobs: {slots:?}");
}

#[tokio::test]
async fn one_job_is_run_in_a_session_that_is_closed_after_it() {
    let scene = Scene::start().await;
    let said = scene
        .run(
            r#"
            cb = connect()
            say(jobrunner(lambda lr: lr.create_process("echo done"), cb, 1))
            say(failure(jobrunner, lambda lr: lr.get_file("/none/such"), cb, 1)["class"])
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said, [json!("done\n"), json!("LiveResponseError")]);
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn workers_carry_large_files_both_ways_at_the_same_time() {
    let scene = Scene::start_with(&[], 4).await;
    scene
        .run(
            r#"
            import io

            def both_ways(lr):
                content = bytes([lr.sensor_id]) * 7_000_000
                path = f"{given.folder}/{lr.sensor_id}"
                lr.put_file(io.BytesIO(content), path)
                assert lr.get_file(path) == content
                return lr.create_process(f"cat {path}") == content

            cb = connect()
            futures = [cb.live_response.submit_job(both_ways, 1 + at % 4) for at in range(8)]
            assert all(future.result() for future in futures)
            "#,
            json!({"folder": scene.site.path("")}),
        )
        .await;
}
