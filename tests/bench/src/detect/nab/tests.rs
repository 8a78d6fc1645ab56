use super::*;

/// 100 samples, of which the first 15 are probation.
fn stream(windows: &[(usize, usize)]) -> Stream {
    Stream {
        name: "some/stream.csv".into(),
        times_us: (0..100).collect(),
        samples: vec![0.0; 100],
        windows: windows.to_vec(),
    }
}

fn sheet(windows: &[(usize, usize)], scored: &[(usize, f64)]) -> Sheet {
    let mut scores = [0.0; 100];
    scored.iter().for_each(|(at, score)| scores[*at] = *score);
    let mut sheet = Sheet::default();
    sheet.add(&stream(windows), &scores);
    sheet
}

fn near(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() < 1e-9
}

#[test]
fn nothing_detected_is_0_and_each_first_sample_of_a_window_100() {
    let windows = [(20, 29), (60, 79)];
    let sheet = sheet(&windows, &[(20, 0.9), (60, 0.8)]);
    assert!(near(sheet.at(1.0), 0.0));
    assert!(near(sheet.at(0.8), 100.0));
    let (threshold, score) = sheet.best();
    assert_eq!(threshold, 0.8);
    assert!(near(score, 100.0));
}

#[test]
fn the_earliest_detection_of_a_window_counts_and_later_ones_cost_nothing() {
    // The sixth of ten samples lies at -(29 - 25 + 1) / 10 = -0.5: (2 / (1 + e^-2.5) - 1) / (2 / (1 + e^-5) - 1).
    let half = 0.848_283_639_957_513_f64 / 0.986_614_298_151_430_3;
    let sheet = sheet(&[(20, 29)], &[(25, 0.9), (29, 0.8)]);
    assert!(near(sheet.at(0.9), 50.0 * (1.0 + half)));
    assert!(near(sheet.at(0.8), 50.0 * (1.0 + half)));
}

#[test]
fn a_false_detection_costs_less_just_after_a_window() {
    // 9 samples after the end of a window of 10 is at 1: -0.11 * 0.9866; 27 after it at 3: -0.11.
    let windows = [(20, 29)];
    let after = sheet(&windows, &[(38, 0.9)]).at(0.9);
    assert!(
        near(after, -50.0 * 0.11 * 0.986_614_298_151_430_3),
        "{after}"
    );
    let far = sheet(&windows, &[(56, 0.9)]).at(0.9);
    assert!(near(far, -50.0 * 0.11), "{far}");
    let before = sheet(&windows, &[(16, 0.9)]).at(0.9);
    assert!(near(before, -50.0 * 0.11), "{before}");
}

#[test]
fn probation_counts_for_nothing() {
    assert!(near(sheet(&[(20, 29)], &[(14, 0.9)]).at(0.9), 0.0));
    assert!(near(sheet(&[(20, 29)], &[(15, 0.9)]).at(0.9), -5.5));
    let long = Stream {
        samples: vec![0.0; 20_000],
        ..stream(&[])
    };
    assert_eq!(long.probation(), 750);
}

#[test]
fn equal_scores_are_detected_together() {
    // The window alone would be worth 100; the tie brings nine false detections with it.
    let mut scored: Vec<(usize, f64)> = (40..49).map(|at| (at, 0.9)).collect();
    scored.push((60, 0.9));
    let (threshold, score) = sheet(&[(60, 79)], &scored).best();
    assert_eq!(threshold, 0.9);
    assert!(near(score, 100.0 - 50.0 * 9.0 * 0.11), "{score}");
}

#[test]
fn detecting_never_is_best_where_it_does_not_pay() {
    let scored: Vec<(usize, f64)> = (20..50).map(|at| (at, 0.9)).chain([(60, 0.1)]).collect();
    assert_eq!(sheet(&[(60, 79)], &scored).best(), (f64::INFINITY, 0.0));
}

#[test]
fn windows_of_several_streams_are_told_apart() {
    let mut sheet = sheet(&[(20, 29)], &[(20, 0.9)]);
    sheet.add(&stream(&[(20, 29)]), &[0.0; 100]);
    assert!(near(sheet.at(0.9), 50.0));
}

#[test]
fn a_time_is_read_to_the_microsecond() {
    assert_eq!(time_us("1970-01-01 00:00:00"), Some(0));
    assert_eq!(
        time_us("2014-04-10 07:15:00.000000"),
        Some(1_397_114_100_000_000)
    );
    assert_eq!(
        time_us("2012-02-29 23:59:59.5"),
        Some(1_330_559_999_500_000)
    );
    for bad in [
        "",
        "2014-04-10",
        "2014-13-10 00:00:00",
        "2014-04-10 24:00:00",
        "2014-04-10 07:15",
        "2014-04-10 07:15:00.x",
    ] {
        assert_eq!(time_us(bad), None, "{bad}");
    }
}

#[test]
fn what_is_not_of_the_form_is_refused_with_its_place() {
    let good = "timestamp,value\n2014-04-01 00:00:00,1\n2014-04-01 00:05:00,2\n";
    let window = |from: &str, to: &str| [(from.to_owned(), to.to_owned())];
    let whole = window("2014-04-01 00:00:00.000000", "2014-04-01 00:05:00.000000");
    let stream = parse("a/b.csv".into(), good, &whole).expect("a good stream");
    assert_eq!(
        (stream.samples, stream.windows),
        (vec![1.0, 2.0], vec![(0, 1)])
    );
    let refused = |text: &str, windows: &[(String, String)]| {
        let refusal = parse("a/b.csv".into(), text, windows).err();
        refusal.expect("refused").to_string()
    };
    assert!(refused("time;value\n", &[]).contains("line 1"));
    assert!(refused(&good.replace(",2", ",two"), &[]).contains("line 3"));
    assert!(refused(&good.replace(",1", ",NaN"), &[]).contains("line 2"));
    let elsewhere = window("2014-04-01 00:01:00", "2014-04-01 00:05:00");
    assert!(refused(good, &elsewhere).contains("00:01:00"));
    let backwards = window("2014-04-01 00:05:00", "2014-04-01 00:00:00");
    assert!(refused(good, &backwards).contains("order"));
}
