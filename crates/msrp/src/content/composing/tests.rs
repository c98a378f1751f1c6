use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::content::XmlErrorKind;

const SECOND: Duration = Duration::from_secs(1);

/// RFC 3994 5.
fn example(inside: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"
xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"
xsi:schemaLocation=\"urn:ietf:params:xml:ns:im-composing
iscomposing.xsd\">
{inside}
</isComposing>"
    )
}

const ACTIVE: &str = "  <state>active</state>
  <contenttype>text/plain</contenttype>
  <refresh>90</refresh>";

fn parse(inside: &str) -> Result<IsComposing, IsComposingError> {
    IsComposing::parse(example(inside).as_bytes())
}

#[test]
fn r45_the_examples_of_rfc_3994() {
    let active = parse(ACTIVE).unwrap();
    assert_eq!((active.state(), active.content_type()), (ComposingState::Active, Some("text/plain")));
    assert_eq!((active.refresh(), active.last_active()), (Some(90 * SECOND), None));
    let idle = parse(
        "  <state>idle</state>\n  <lastactive>2003-01-27T10:43:00Z</lastactive>\n  <contenttype>audio</contenttype>",
    )
    .unwrap();
    assert_eq!((idle.state(), idle.content_type(), idle.refresh()), (ComposingState::Idle, Some("audio"), None));
    assert_eq!(idle.last_active().unwrap().unix_seconds(), 1_043_664_180);
    for status in [active, idle] {
        assert_eq!(IsComposing::parse(status.to_xml().as_bytes()), Ok(status));
    }
}

#[test]
fn r45_what_a_status_may_say() {
    let state = |text: &str| parse(&format!("<state>{text}</state>")).map(|status| status.state());
    assert_eq!(state(" active\r\n"), Ok(ComposingState::Active));
    // What is unknown is idle (RFC 3994 3.5).
    for text in ["idle", "Active", "paused", "", "<x/>"] {
        assert_eq!(state(text), Ok(ComposingState::Idle), "{text}");
    }
    let seconds = |text: &str| parse(&format!("<state/><refresh>{text}</refresh>")).map(|status| status.refresh);
    assert_eq!((seconds("1"), seconds(" +0090 ")), (Ok(Some(1)), Ok(Some(90))));
    assert_eq!(seconds("99999999999999999999999"), Ok(Some(u32::MAX)));
    for text in ["", "0", "00", "-1", "1.5", "x", "+"] {
        assert_eq!(seconds(text), Err(IsComposingError::Refresh), "{text}");
    }
    let other = parse("<o:more xmlns:o='u'><state>active</state></o:more><state/><lastactive>today</lastactive><new/>");
    assert_eq!(other, Ok(IsComposing::new(ComposingState::Idle)));
    assert_eq!(parse(""), Err(IsComposingError::StateMissing));
    assert_eq!(parse("<state/><state/>"), Err(IsComposingError::Duplicate("state")));
    let long = |length: usize| parse(&format!("<state/><contenttype>{}</contenttype>", "x".repeat(length)));
    assert!(long(IsComposing::MAX_CONTENT_TYPE).is_ok());
    assert_eq!(long(IsComposing::MAX_CONTENT_TYPE + 1), Err(IsComposingError::ContentType));
    let xml = |text: &str| match IsComposing::parse(text.as_bytes()) {
        Err(IsComposingError::Xml(error)) => error.kind(),
        other => panic!("{other:?}"),
    };
    assert_eq!(xml("<isComposing><state>active</state></isComposing>"), XmlErrorKind::Root);
    assert_eq!(xml(&example(ACTIVE).replace("?>", "?><!DOCTYPE isComposing>")), XmlErrorKind::Doctype);
}

#[test]
fn r62_nothing_of_the_application_ends_a_line() {
    let new = || IsComposing::new(ComposingState::Active);
    for text in ["a\r\nb", "a\0", "a\u{ffff}", &"x".repeat(IsComposing::MAX_CONTENT_TYPE + 1)] {
        assert_eq!(new().with_content_type(text), Err(IsComposingError::ContentType));
        assert!(Composer::new().with_content_type(text).is_err());
    }
    let status = new().with_content_type("<a>&").unwrap().with_refresh(Duration::ZERO);
    assert_eq!(IsComposing::parse(status.to_xml().as_bytes()), Ok(status));
}

#[test]
fn r45_a_status_may_be_in_a_cpim() {
    let xml = Bytes::from(IsComposing::new(ComposingState::Active).to_xml());
    let active = Ok(Some(IsComposing::new(ComposingState::Active)));
    let address = super::super::Address::new("im:a@b").unwrap();
    let wrap = |media_type: &MediaType| {
        let message = Cpim::builder(&address, &address).build(media_type, xml.clone()).unwrap();
        IsComposing::in_content(&MediaType::cpim(), &message.to_bytes())
    };
    assert_eq!(IsComposing::in_content(&MediaType::is_composing(), &xml), active);
    assert_eq!(wrap(&"Application/IM-isComposing+xml;charset=utf-8".parse().unwrap()), active);
    assert_eq!(wrap(&MediaType::text_plain()), Ok(None));
    assert_eq!(IsComposing::in_content(&MediaType::text_plain(), &xml), Ok(None));
    let none = IsComposing::in_content(&MediaType::cpim(), &xml);
    assert!(matches!(none, Err(IsComposingError::Cpim(_))), "{none:?}");
}

/// What a composer wants to send, as a word.
fn word(status: Option<IsComposing>) -> &'static str {
    match status.map(|status| status.state()) {
        None => "-",
        Some(ComposingState::Active) => "active",
        Some(ComposingState::Idle) => "idle",
    }
}

#[test]
fn r45_a_composer_pauses() {
    let start = Instant::now();
    let at = |seconds: u32| start + seconds * SECOND;
    let mut composer = Composer::new();
    assert_eq!((composer.poll_timeout(), composer.handle_timeout(at(0))), (None, None));
    let first = composer.handle_activity(at(0)).unwrap();
    assert_eq!((first.state(), first.refresh()), (ComposingState::Active, Some(120 * SECOND)));
    // As long as the user goes on, nobody is told again.
    assert_eq!(word(composer.handle_activity(at(10))), "-");
    assert_eq!(composer.poll_timeout(), Some(at(25)));
    assert_eq!(word(composer.handle_timeout(at(24))), "-");
    let idle = composer.handle_timeout(at(25)).unwrap();
    assert_eq!((idle.state(), idle.refresh()), (ComposingState::Idle, None));
    assert_eq!((composer.state(), composer.poll_timeout()), (ComposingState::Idle, None));
    assert_eq!(word(composer.handle_timeout(at(200))), "-");
    assert_eq!(word(composer.handle_activity(at(200))), "active");
    // Time that nobody looked at has passed all the same: the other end may have given up, and is told.
    assert_eq!(word(composer.handle_activity(at(230))), "active");
    assert_eq!(composer.poll_timeout(), Some(at(245)));
}

#[test]
fn r45_a_composer_sends_its_message() {
    let start = Instant::now();
    let mut composer = Composer::new().with_content_type("audio").unwrap();
    assert_eq!(composer.handle_activity(start).unwrap().content_type(), Some("audio"));
    composer.handle_content_sent();
    assert_eq!((composer.state(), composer.poll_timeout()), (ComposingState::Idle, None));
    assert_eq!(word(composer.handle_timeout(start + 15 * SECOND)), "-");
    assert_eq!(word(composer.handle_activity(start + 16 * SECOND)), "active");
}

#[test]
fn r45_a_composer_goes_on_for_long() {
    let start = Instant::now();
    let at = |seconds: u32| start + seconds * SECOND;
    let run = |composer: &mut Composer, until: u32| -> Vec<u32> {
        (0..=until)
            .step_by(5)
            .flat_map(|seconds| {
                let timeout = composer.poll_timeout().filter(|timeout| *timeout <= at(seconds));
                let sent =
                    [timeout.and_then(|now| composer.handle_timeout(now)), composer.handle_activity(at(seconds))];
                sent.into_iter().flatten().map(move |status| {
                    assert_eq!(status.state(), ComposingState::Active);
                    seconds
                })
            })
            .collect()
    };
    assert_eq!(run(&mut Composer::new(), 400), [0, 120, 240, 360]);
    assert_eq!(run(&mut Composer::new().with_refresh(Some(90 * SECOND)), 200), [0, 90, 180]);
    // No shorter than 60 s, and not at all if so wanted (RFC 3994 3.2).
    assert_eq!(run(&mut Composer::new().with_refresh(Some(SECOND)), 130), [0, 60, 120]);
    assert_eq!(run(&mut Composer::new().with_refresh(None), 400), [0]);
    let longest =
        Composer::new().with_idle_timeout(Duration::MAX).with_refresh(Some(Duration::MAX)).handle_activity(start);
    assert_eq!(longest.unwrap().refresh(), Some(ComposerWatch::MAX_REFRESH));
    let mut composer = Composer::new().with_refresh(None);
    assert_eq!(composer.handle_activity(start).unwrap().refresh(), None);
    let patient = &mut Composer::new().with_idle_timeout(300 * SECOND);
    patient.handle_activity(start);
    assert_eq!(patient.poll_timeout(), Some(at(120)));
    assert_eq!(word(patient.handle_timeout(at(120))), "active");
    assert_eq!(patient.poll_timeout(), Some(at(240)));
    assert_eq!(word(patient.handle_timeout(at(300))), "idle");
}

#[test]
fn r45_a_composer_is_stopped_by_who_does_not_understand() {
    let start = Instant::now();
    let mut composer = Composer::new();
    composer.handle_activity(start);
    composer.stop();
    assert_eq!((composer.poll_timeout(), composer.handle_activity(start + 200 * SECOND)), (None, None));
}

#[test]
fn r45_who_is_told() {
    use ComposingState::*;
    let start = Instant::now();
    let at = |seconds: u32| start + seconds * SECOND;
    let status = |state| IsComposing::new(state);
    let mut watch = ComposerWatch::new();
    assert_eq!((watch.state(), watch.poll_timeout()), (Idle, None));
    assert_eq!(watch.handle_status(&status(Idle), at(0)), None);
    assert_eq!(watch.handle_content(), None);
    // Without a refresh interval it holds for 120 s (RFC 3994 3.3).
    assert_eq!(watch.handle_status(&status(Active), at(0)), Some(Active));
    assert_eq!(watch.poll_timeout(), Some(at(120)));
    assert_eq!((watch.handle_timeout(at(119)), watch.handle_timeout(at(120))), (None, Some(Idle)));
    // The last one counts, however soon it comes.
    assert_eq!(watch.handle_status(&status(Active).with_refresh(60 * SECOND), at(130)), Some(Active));
    assert_eq!(watch.handle_status(&status(Active).with_refresh(60 * SECOND), at(131)), None);
    assert_eq!((watch.handle_timeout(at(190)), watch.handle_timeout(at(191))), (None, Some(Idle)));
    for end in [ComposerWatch::handle_content, |watch: &mut ComposerWatch| {
        watch.handle_status(&IsComposing::new(Idle), Instant::now())
    }] {
        watch.handle_status(&status(Active), at(200));
        assert_eq!(end(&mut watch), Some(Idle));
        assert_eq!((watch.state(), watch.poll_timeout()), (Idle, None));
    }
}

#[test]
fn r57_nobody_composes_for_ever() {
    let start = Instant::now();
    let mut watch = ComposerWatch::new();
    let status = parse("<state>active</state><refresh>99999999999</refresh>").unwrap();
    watch.handle_status(&status, start);
    assert_eq!(watch.poll_timeout(), Some(start + ComposerWatch::MAX_REFRESH));
}

proptest! {
    /// What one end knows is what the other one does, as long as statuses arrive at once.
    #[test]
    fn r45_both_ends_agree(moves: Vec<(u8, u8)>) {
        let mut now = Instant::now();
        let (mut composer, mut watch) = (Composer::new(), ComposerWatch::new());
        for (wait, what) in moves {
            let until = now + u32::from(wait) * SECOND;
            while let Some(timeout) = composer.poll_timeout().filter(|timeout| *timeout <= until) {
                if let Some(status) = composer.handle_timeout(timeout) {
                    watch.handle_status(&status, timeout);
                }
                prop_assert_eq!(composer.state(), watch.state());
            }
            now = until;
            watch.handle_timeout(now);
            prop_assert_eq!(composer.state(), watch.state());
            if what % 4 == 0 {
                composer.handle_content_sent();
                watch.handle_content();
            } else if let Some(status) = composer.handle_activity(now) {
                let read = IsComposing::parse(status.to_xml().as_bytes());
                watch.handle_status(&read.unwrap(), now);
            }
            prop_assert_eq!(composer.state(), watch.state());
        }
    }
}
