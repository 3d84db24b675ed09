//! A row of `ListObservations`.

use crate::dict::{Dict, Lookup, Writer};
use crate::words::{ConditionReason, EvidenceSource, ObservationKind, Trigger, WaitsFor};
use ibak_core::{JobId, Wall};

/// One thing that came to be so, and stayed so until the next row about the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservationView {
    /// `at`: when.
    pub at: Wall,
    /// `what`.
    pub what: ObservationKind,
    /// `word`: what it came to be; its list depends on `what`.
    pub word: String,
    /// `reason` of a condition.
    pub reason: Option<ConditionReason>,
    /// `source` of a condition.
    pub source: Option<EvidenceSource>,
    /// `waits-for` of a decision.
    pub waits_for: Vec<WaitsFor>,
    /// `job`: the job's number.
    pub job: Option<JobId>,
    /// `trigger` of a job.
    pub trigger: Option<Trigger>,
    /// `since`: when the gap began that ends here.
    pub since: Option<Wall>,
}

impl ObservationView {
    /// Makes a row without details.
    pub fn new(at: Wall, what: ObservationKind, word: &str) -> Self {
        Self {
            at,
            what,
            word: word.to_owned(),
            reason: None,
            source: None,
            waits_for: Vec::new(),
            job: None,
            trigger: None,
            since: None,
        }
    }

    /// Reads a row; `None` without its time or what it is about.
    pub fn from_dict(dict: &impl Lookup) -> Option<Self> {
        let word = |key| dict.text(key).filter(|word| !word.is_empty());
        Some(Self {
            at: dict.time("at")?,
            what: ObservationKind::parse(word("what")?),
            word: dict.text("word").unwrap_or_default().to_owned(),
            reason: word("reason").map(ConditionReason::parse),
            source: word("source").map(EvidenceSource::parse),
            waits_for: dict
                .texts("waits-for")
                .iter()
                .map(|word| WaitsFor::parse(word))
                .collect(),
            job: dict.number("job").filter(|n| *n != 0).map(JobId::new),
            trigger: word("trigger").map(Trigger::parse),
            since: dict.time("since"),
        })
    }

    /// Writes a row; absent details are left out.
    pub fn to_dict(&self) -> Dict {
        let mut writer = Writer::default()
            .time("at", Some(self.at))
            .text("what", self.what.as_str())
            .text("word", &self.word)
            .text_if("reason", self.reason.as_ref().map(ConditionReason::as_str))
            .text_if("source", self.source.as_ref().map(EvidenceSource::as_str))
            .text_if("trigger", self.trigger.as_ref().map(Trigger::as_str))
            .number_if("job", self.job.map(JobId::get));
        if !self.waits_for.is_empty() {
            let words = self.waits_for.iter().map(|word| word.as_str().to_owned());
            writer = writer.texts("waits-for", words.collect());
        }
        if self.since.is_some() {
            writer = writer.time("since", self.since);
        }
        writer.done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_as_written() {
        let row = ObservationView {
            reason: Some(ConditionReason::Unlocked),
            source: Some(EvidenceSource::Notification),
            waits_for: vec![WaitsFor::Power, WaitsFor::Other("moon".into())],
            job: Some(JobId::new(7)),
            trigger: Some(Trigger::Schedule),
            since: Some(Wall::from_secs(3)),
            ..ObservationView::new(Wall::from_secs(5), ObservationKind::Locked, "unmet")
        };
        assert_eq!(ObservationView::from_dict(&row.to_dict()), Some(row));
        let bare = ObservationView::new(Wall::from_secs(5), ObservationKind::Job, "");
        assert_eq!(bare.to_dict().len(), 3, "what is absent is left out");
        assert_eq!(ObservationView::from_dict(&bare.to_dict()), Some(bare));
    }

    #[test]
    fn a_row_without_a_time_is_no_row() {
        let mut dict =
            ObservationView::new(Wall::from_secs(5), ObservationKind::State, "idle").to_dict();
        dict.remove("at");
        assert_eq!(ObservationView::from_dict(&dict), None);
    }
}
