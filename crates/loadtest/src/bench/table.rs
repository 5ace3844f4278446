//! The results of all runs, their medians and what the budgets say.

use serde::Serialize;

use super::cases::{Budget, Case, Entry, Measure};
use crate::machine;
use crate::report::{say, time};

/// One number of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    name: &'static str,
    unit: Unit,
    value: f64,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    Micros,
    Bytes,
    Count,
    /// Of one core.
    Share,
}

/// Everything measured so far.
#[derive(Debug, Default)]
pub(crate) struct Table {
    cases: Vec<CaseResult>,
}

#[derive(Debug, Serialize)]
struct CaseResult {
    case: &'static str,
    about: &'static str,
    servers: Vec<ServerResult>,
    budgets: Vec<BudgetResult>,
    /// Whom the budgets are for.
    #[serde(skip)]
    judged: &'static str,
    #[serde(skip)]
    limits: Vec<Budget>,
}

#[derive(Debug, Serialize)]
struct ServerResult {
    server: &'static str,
    figures: Vec<FigureResult>,
}

#[derive(Debug, Serialize)]
struct FigureResult {
    name: &'static str,
    unit: Unit,
    median: f64,
    runs: Vec<f64>,
}

#[derive(Debug, Serialize)]
struct BudgetResult {
    text: String,
    measured: f64,
    met: bool,
}

impl Figure {
    pub(crate) fn new(name: &'static str, unit: Unit, value: f64) -> Self {
        Self { name, unit, value }
    }
}

impl Unit {
    /// A value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Micros if value < 100.0 => format!("{value:.2} µs"),
            Self::Micros => time(value),
            Self::Bytes if value >= 1e6 => format!("{:.1} MB", value / 1e6),
            Self::Bytes => format!("{value:.0} B"),
            Self::Count => format!("{value:.0}"),
            Self::Share => format!("{:.0} % of a core", value * 100.0),
        }
    }
}

impl Table {
    pub(crate) fn begin(&mut self, case: &Case) {
        self.cases.push(CaseResult {
            case: case.name,
            about: case.about,
            servers: Vec::new(),
            budgets: Vec::new(),
            judged: case.entries.first().map_or("", |entry| entry.label),
            limits: case.budgets.clone(),
        });
    }

    /// Adds one run of the case begun last.
    pub(crate) fn add(&mut self, entry: &Entry, figures: Vec<Figure>) {
        if let Some(case) = self.cases.last_mut() {
            case.add(entry.label, figures);
        }
    }

    /// How many budgets are missed.
    pub(crate) fn missed(&self) -> usize {
        let budgets = self.cases.iter().flat_map(|case| &case.budgets);
        budgets.filter(|budget| !budget.met).count()
    }

    /// Prints the case begun last.
    pub(crate) fn print_last(&self) {
        if self.cases.len() == 1 {
            say(&machine::describe());
        }
        if let Some(case) = self.cases.last() {
            case.print();
        }
    }

    pub(crate) fn print_json(&self) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Whole<'a> {
            machine: String,
            cases: &'a [CaseResult],
        }
        say(&serde_json::to_string_pretty(&Whole {
            machine: machine::describe(),
            cases: &self.cases,
        })?);
        Ok(())
    }
}

impl CaseResult {
    fn add(&mut self, label: &'static str, figures: Vec<Figure>) {
        let position = self
            .servers
            .iter()
            .position(|server| server.server == label);
        let server = match position {
            Some(position) => &mut self.servers[position],
            None => {
                self.servers.push(ServerResult {
                    server: label,
                    figures: Vec::new(),
                });
                let last = self.servers.len() - 1;
                &mut self.servers[last]
            }
        };
        for figure in figures {
            server.add(figure);
        }
        self.judge();
    }

    fn judge(&mut self) {
        let judged = self.limits.iter().filter_map(|budget| {
            let own = self.find(budget.of)?.median(budget.figure)?;
            let measured = match budget.measure {
                Measure::In(_) => own.median,
                Measure::ShareOf(of) => own.median / self.find(of)?.median(budget.figure)?.median,
            };
            Some(BudgetResult {
                text: budget.describe(),
                measured,
                met: budget.bound.is_kept(measured),
            })
        });
        self.budgets = judged.collect();
    }

    fn find(&self, label: &str) -> Option<&ServerResult> {
        self.servers.iter().find(|server| server.server == label)
    }

    fn print(&self) {
        say(&format!("\n{}: {}", self.case, self.about));
        let own = self
            .find(self.judged)
            .and_then(|server| server.figures.first());
        for server in &self.servers {
            let mut line = format!("  {:<16}", server.server);
            for figure in &server.figures {
                line.push_str(&format!("{:<36}  ", figure.show()));
            }
            if let (Some(own), Some(other)) = (own, server.figures.first())
                && server.server != self.judged
            {
                line.push_str(&format!(
                    "{} has {:.2} of it",
                    self.judged,
                    own.median / other.median
                ));
            }
            say(line.trim_end());
        }
        for budget in &self.budgets {
            let verdict = if budget.met { "met" } else { "MISSED" };
            say(&format!(
                "  budget          {}: {verdict} ({:.3})",
                budget.text, budget.measured
            ));
        }
    }
}

impl ServerResult {
    fn add(&mut self, figure: Figure) {
        match self
            .figures
            .iter_mut()
            .find(|known| known.name == figure.name)
        {
            Some(known) => {
                known.runs.push(figure.value);
                known.median = median(&known.runs);
            }
            None => self.figures.push(FigureResult {
                name: figure.name,
                unit: figure.unit,
                median: figure.value,
                runs: vec![figure.value],
            }),
        }
    }

    fn median(&self, figure: &str) -> Option<&FigureResult> {
        self.figures.iter().find(|known| known.name == figure)
    }
}

impl FigureResult {
    fn show(&self) -> String {
        let median = self.unit.show(self.median);
        let low = self.runs.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.runs.len() == 1 || self.unit == Unit::Share {
            return format!("{} {median}", self.name);
        }
        let (low, high) = (self.unit.show(low), self.unit.show(high));
        format!("{} {median} ({low}–{high})", self.name)
    }
}

/// Prints what a case compares and with which budgets.
pub(crate) fn print_case(case: &Case) {
    say(&format!("{:<18} {}", case.name, case.about));
    for budget in &case.budgets {
        say(&format!("{:<18}   budget: {}", "", budget.describe()));
    }
}

/// The middle value; of an even number of values the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[middle]
    } else {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    }
}
