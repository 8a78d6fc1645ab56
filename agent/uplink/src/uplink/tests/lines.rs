use firstlook_model::{LogBlock, LogEntry, LogSource, Severity, TemplateId};

use super::*;

/// Gives one line that repeats the question, then the end.
pub(super) fn answer(asked: LinesQuestion) -> mpsc::Receiver<LinesEvent> {
    let (sender, receiver) = mpsc::channel(4);
    let given = LogEntry {
        time: asked.range.from,
        component: asked.component,
        template: TemplateId(7),
        severity: Severity::Error,
        source: LogSource::File,
        text: format!("with {} at most {}", asked.contains, asked.limit),
    };
    let block = LogBlock {
        templates: Vec::new(),
        entries: vec![given],
    };
    sender.try_send(LinesEvent::Lines(block)).unwrap();
    let end = LinesEvent::End {
        left_out: 3,
        notes: vec!["a note".to_owned()],
    };
    sender.try_send(end).unwrap();
    receiver
}

#[tokio::test(start_paused = true)]
async fn lines_travel_with_what_was_left_out_and_a_senseless_question_is_refused() {
    use firstlook_proto::wire::lines_piece::Kind;
    let mut agent = agent();
    during(&mut agent, async |collector: &mut Collector| {
        let mut visit = collector.visit().await;
        visit.hello().await;
        visit.welcome(0).await;
        visit.ask_lines(1, "no component", 7).await;
        visit.ask_lines(2, "service:h1/a.service", 5).await;
        visit.ask_lines(3, "service:h1/a.service", 7).await;
        let mut pieces = Vec::new();
        while pieces.len() < 4 {
            if let Some(Say::Lines(piece)) = visit.next().await.kind {
                pieces.push((piece.request, piece.kind.unwrap()));
            }
        }
        assert!(matches!(&pieces[0], (1, Kind::Failed(why)) if why.contains("component")));
        assert!(matches!(&pieces[1], (2, Kind::Failed(why)) if why.contains("range")));
        let (3, Kind::Lines(block)) = &pieces[2] else {
            panic!("{pieces:?}");
        };
        assert_eq!(block.entries[0].text, "with refused at most 9");
        let end = wire::LinesEnd {
            left_out: 3,
            notes: vec!["a note".to_owned()],
        };
        assert_eq!(pieces[3], (3, Kind::End(end)));
        // The next question is heard once this one is answered.
        visit.ask_lines(4, "service:h1/a.service", 7).await;
        while !matches!(visit.next().await.kind, Some(Say::Lines(piece)) if piece.request == 4) {}
    })
    .await;
}
