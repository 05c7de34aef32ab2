//! Intervals of every score, and differences between every two models.

use crate::bootstrap::{check_paired, check_paired_averages};
use crate::report::averaged;
use crate::{Bootstrap, Comparison, Error, Report, Resampled, ScoredTask};

/// Fills in the intervals of reports, and each one's differences from those before it. `scored[m]` is what
/// `reports[m]` was made of, the same tasks in the same order for every model. The settings alone decide the result.
///
/// Memory: a number for each task, model and resample.
pub fn compare(reports: &mut [Report], scored: &[&[ScoredTask]], bootstrap: &Bootstrap) -> Result<(), Error> {
    bootstrap.check()?;
    let mut earlier: Vec<(String, ResampledModel)> = Vec::new();
    for (report, &scored_tasks) in reports.iter_mut().zip(scored) {
        let resampled = ResampledModel::new(scored_tasks, bootstrap)?;
        for (task, resampled) in report.tasks.values_mut().zip(&resampled.tasks) {
            task.interval = bootstrap.interval_of(resampled);
        }
        report.average_interval = bootstrap.interval_of(&resampled.average);
        report.bootstrap = Some(*bootstrap);
        for ((against, other), &other_tasks) in earlier.iter().zip(scored) {
            check_same_tasks(other_tasks, scored_tasks)?;
            let differences = other.tasks.iter().zip(&resampled.tasks);
            let differences = differences.map(|(other, own)| bootstrap.difference_of(other, own));
            report.differences.push(Comparison {
                against: against.clone(),
                tasks: report.tasks.keys().cloned().zip(differences).collect(),
                average: bootstrap.difference_of(&other.average, &resampled.average),
            });
        }
        earlier.push((report.model.clone(), resampled));
    }
    Ok(())
}

/// One model's resamples.
struct ResampledModel {
    tasks: Vec<Resampled>,
    average: Resampled,
}

impl ResampledModel {
    fn new(scored: &[ScoredTask], bootstrap: &Bootstrap) -> Result<Self, Error> {
        let tasks: Vec<Resampled> =
            scored.iter().map(|task| bootstrap.resample(task)).collect::<Result<_, _>>()?;
        let counted: Vec<&str> = averaged(scored).map(|task| task.name.as_str()).collect();
        let members: Vec<&Resampled> = scored
            .iter()
            .zip(&tasks)
            .filter(|(task, _)| counted.contains(&task.name.as_str()))
            .map(|(_, resampled)| resampled)
            .collect();
        Ok(Self { average: Resampled::mean(&members), tasks })
    }
}

fn check_same_tasks(first: &[ScoredTask], second: &[ScoredTask]) -> Result<(), Error> {
    first.iter().zip(second).try_for_each(|(first, second)| check_paired(first, second))?;
    check_paired_averages(first, second)
}
