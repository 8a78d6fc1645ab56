use super::*;
use firstlook_model::{ComponentKind, HostId};

const SHOP: &str = "shop.service";

fn seen(active: ActiveState, sub: &str, invocation: &str) -> Seen {
    let host = HostId::new("app1").unwrap();
    Seen {
        component: ComponentId::on_host(ComponentKind::Service, host, SHOP).unwrap(),
        active,
        sub: sub.to_owned(),
        result: "success".to_owned(),
        restarts: 0,
        main_pid: 100,
        exit_code: 0,
        exit_status: 0,
        since: None,
        invocation: invocation.to_owned(),
        enabled: false,
        condition_met: true,
        oneshot: false,
        job: false,
    }
}

fn up(invocation: &str) -> Seen {
    seen(ActiveState::Active, "running", invocation)
}

fn down(result: &str, exit_code: i32, exit_status: i32) -> Seen {
    let active = if result == "success" {
        ActiveState::Inactive
    } else {
        ActiveState::Failed
    };
    let mut seen = seen(active, "dead", "a");
    seen.result = result.to_owned();
    (seen.main_pid, seen.exit_code, seen.exit_status) = (0, exit_code, exit_status);
    seen
}

struct Story {
    tracker: Tracker,
    at: i64,
}

impl Story {
    fn begins_with(first: Seen) -> Self {
        let mut story = Self {
            tracker: Tracker::default(),
            at: 0,
        };
        let (_, changes) = story.then(first);
        assert_eq!(
            changes,
            Vec::<String>::new(),
            "the first sight is no change"
        );
        story
    }

    fn then(&mut self, seen: Seen) -> (Option<UnitState>, Vec<String>) {
        self.at += 1;
        let now = Timestamp::from_secs(self.at);
        let (state, changes) = self.tracker.update(SHOP, seen, now, true);
        (
            state,
            changes.into_iter().map(|change| change.text).collect(),
        )
    }
}

#[test]
fn killed_service_is_a_wanted_one_and_no_change() {
    let mut story = Story::begins_with(up("a"));
    let (state, changes) = story.then(down("signal", 2, 9));
    let state = state.unwrap();
    assert_eq!((state.active, state.wanted), (ActiveState::Failed, true));
    assert!(changes.is_empty());
}

#[test]
fn service_ended_by_a_foreign_sigterm_is_wanted_and_not_called_stopped() {
    let mut story = Story::begins_with(up("a"));
    let (state, changes) = story.then(down("success", 2, 15));
    assert!(state.unwrap().wanted);
    assert!(changes.is_empty());
}

#[test]
fn stop_on_request_is_a_change_and_the_unit_stays_reported() {
    let mut story = Story::begins_with(up("a"));
    story.tracker.job(SHOP);
    let mut stopping = seen(ActiveState::Deactivating, "stop-sigterm", "a");
    stopping.job = true;
    story.then(stopping);
    let (state, changes) = story.then(down("success", 2, 15));
    assert_eq!(changes, ["shop.service was stopped on request"]);
    assert!(!state.unwrap().wanted, "a choice, since it is not enabled");
    assert_eq!(story.tracker.all(Timestamp::from_secs(60)).len(), 1);
}

#[test]
fn stop_request_seen_before_the_unit_moves_still_counts() {
    let mut story = Story::begins_with(up("a"));
    let mut pending = up("a");
    pending.job = true;
    story.then(pending);
    let (_, changes) = story.then(down("success", 2, 15));
    assert_eq!(changes, ["shop.service was stopped on request"]);
}

#[test]
fn enabled_service_stopped_on_request_stays_wanted() {
    let mut first = up("a");
    first.enabled = true;
    let mut story = Story::begins_with(first);
    story.tracker.job(SHOP);
    let mut stopped = down("success", 2, 15);
    stopped.enabled = true;
    assert!(story.then(stopped).0.unwrap().wanted);
}

#[test]
fn enabled_service_that_never_had_to_start_is_not_reported() {
    for (invocation, condition_met) in [("", true), ("a", false)] {
        let mut idle = down("success", 0, 0);
        idle.invocation = invocation.to_owned();
        (idle.enabled, idle.condition_met) = (true, condition_met);
        let mut tracker = Tracker::default();
        assert_eq!(
            tracker.update(SHOP, idle, Timestamp::from_secs(1), true).0,
            None
        );
    }
}

#[test]
fn work_done_and_ended_well_is_not_wanted() {
    let mut story = Story::begins_with(up("a"));
    assert!(!story.then(down("success", EXITED, 0)).0.unwrap().wanted);
}

#[test]
fn new_invocation_of_a_running_service_is_a_restart() {
    let mut story = Story::begins_with(up("a"));
    assert_eq!(story.then(up("b")).1, ["shop.service was restarted"]);
}

#[test]
fn restart_on_request_is_no_stop_though_it_passes_through_inactive() {
    let mut story = Story::begins_with(up("a"));
    story.tracker.job(SHOP);
    let mut between = down("success", 2, 15);
    between.job = true;
    assert_eq!(story.then(between), (None, vec![]));
    assert_eq!(story.then(up("b")).1, ["shop.service was restarted"]);
}

#[test]
fn start_after_a_stop_is_told_as_a_start() {
    let mut story = Story::begins_with(up("a"));
    story.tracker.job(SHOP);
    story.then(down("success", 2, 15));
    assert_eq!(story.then(up("b")).1, ["shop.service was started"]);
}

#[test]
fn automatic_restart_names_the_result_before_it() {
    let mut story = Story::begins_with(up("a"));
    let mut between = down("exit-code", 1, 1);
    (between.active, between.sub) = (ActiveState::Activating, "auto-restart".to_owned());
    assert!(story.then(between).1.is_empty());
    let mut again = up("b");
    again.restarts = 1;
    assert_eq!(
        story.then(again).1,
        ["shop.service was restarted by systemd after exit-code (restart 1 since it was loaded)"]
    );
}

#[test]
fn crash_loop_reports_states_but_few_changes() {
    let mut story = Story::begins_with(up("0"));
    let (mut states, mut changes) = (0, 0);
    for round in 1..=20 {
        let mut again = up(&round.to_string());
        again.restarts = round;
        let (state, changed) = story.then(again);
        states += usize::from(state.is_some());
        changes += changed.len();
    }
    assert_eq!((states, changes), (20, 2));
}

#[test]
fn oneshot_is_reported_only_when_it_fails_and_when_it_recovers() {
    let oneshot = |mut seen: Seen| {
        seen.oneshot = true;
        seen
    };
    let mut story = Story::begins_with(oneshot(down("success", 0, 0)));
    assert_eq!(
        story.then(oneshot(seen(ActiveState::Activating, "start", "b"))),
        (None, vec![])
    );
    assert!(story.then(oneshot(down("exit-code", 1, 3))).0.is_some());
    assert!(story.then(oneshot(down("success", 1, 0))).0.is_some());
    assert_eq!(
        story
            .then(oneshot(seen(ActiveState::Activating, "start", "c")))
            .0,
        None
    );
}

#[test]
fn same_state_twice_is_reported_once() {
    let mut story = Story::begins_with(up("a"));
    assert_eq!(story.then(up("a")), (None, vec![]));
}

#[test]
fn unit_that_is_gone_is_reported_down_and_unwanted() {
    let mut story = Story::begins_with(up("a"));
    let state = story.tracker.forget(SHOP, Timestamp::from_secs(9)).unwrap();
    assert_eq!((state.active, state.wanted), (ActiveState::Inactive, false));
    assert!(story.tracker.names().is_empty());
}
