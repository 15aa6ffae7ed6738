"""The SQL of `rows`: what people said of a piece of traces (`:traces`, a JSON list of ids), resolved and summed."""

from __future__ import annotations

# `said`: the annotations of the selection, with the reason why one is not used; `end_at`: of one made here the ratings
# behind its first negative do not count, as in `Annotation.counted`. `votes`: what they said of each step,
# adjudications and gold before plain ratings. `resolved`: the weights that come of it, no row for a dropped tie.
SCOPE = """
WITH scope AS MATERIALIZED (
  SELECT trace.id, trace.problem_id, trace.outcome, segmentation.id AS segmentation_id
  FROM json_each(:traces) AS wanted
  JOIN trace ON trace.id = wanted.value
  JOIN segmentation ON segmentation.trace_id = trace.id AND segmentation.current = 1
),
said AS MATERIALIZED (
  SELECT a.id, a.uid, a.revision, a.trace_id, a.project_id, a.kind IN ('adjudication', 'gold') AS judged,
    CASE WHEN a.state = 'open' AND :only_submitted THEN 'not submitted'
         WHEN a.segmentation_id <> scope.segmentation_id THEN 'older steps'
         WHEN a.finish_reason = 'bad_problem' THEN 'bad problem'
         WHEN a.finish_reason = 'give_up' THEN 'given up'
         ELSE '' END AS why,
    CASE WHEN a.batch_id IS NULL  -- ratings behind it do not count (Annotation.counted), but where errors are repaired
      AND NOT EXISTS (SELECT 1 FROM rating AS n WHERE n.annotation_id = a.id AND n.repairs IS NOT NULL) THEN (
      SELECT min(n.ordinal) FROM rating AS n WHERE n.annotation_id = a.id AND n.option = 0 AND n.value = -1
    ) END AS end_at
  FROM scope JOIN annotation AS a ON a.trace_id = scope.id LEFT JOIN batch ON batch.id = a.batch_id
  WHERE :labelled AND a.state <> 'void' AND (batch.id IS NULL OR batch.state = 'published')
    AND (:any_project OR a.project_id IN (SELECT value FROM json_each(:projects)))
    AND (:any_annotator OR a.annotator_id IN (SELECT value FROM json_each(:annotators)))
    AND (:any_origin OR coalesce(batch.kind, 'here') IN (SELECT value FROM json_each(:kinds)))
),
votes AS MATERIALIZED (
  SELECT said.trace_id, rating.ordinal, max(judged) AS judged,
    sum(NOT judged AND value = -1) AS n, sum(NOT judged AND value = 0) AS z, sum(NOT judged AND value = 1) AS p,
    sum(judged AND value = -1) AS jn, sum(judged AND value = 0) AS jz, sum(judged AND value = 1) AS jp
  FROM said JOIN rating ON rating.annotation_id = said.id AND rating.option = 0 AND rating.value IS NOT NULL
    AND NOT (:skip_unsure AND (rating.unsure OR coalesce(rating.flagged, 0)))
    AND (said.end_at IS NULL OR rating.ordinal <= said.end_at)
  WHERE said.why = '' AND (said.end_at IS NULL OR rating.ordinal <= said.end_at)
  GROUP BY said.trace_id, rating.ordinal
),
heard AS (
  SELECT trace_id, ordinal, iif(judged, jn, n) AS n, iif(judged, jz, z) AS z, iif(judged, jp, p) AS p FROM votes
),
resolved AS MATERIALIZED (
  SELECT trace_id, ordinal, 2 * max(n, z, p) > n + z + p AS agreed,
    iif(2 * max(n, z, p) > n + z + p, 1.0 * (2 * n > n + z + p), 1.0 * n / (n + z + p)) AS negative,
    iif(2 * max(n, z, p) > n + z + p, 1.0 * (2 * z > n + z + p), 1.0 * z / (n + z + p)) AS neutral,
    iif(2 * max(n, z, p) > n + z + p, 1.0 * (2 * p > n + z + p), 1.0 * p / (n + z + p)) AS positive
  FROM heard
)
"""

SUMMARY = f"""{SCOPE},
summed AS MATERIALIZED (
  SELECT trace_id, sum(agreed OR :soft) AS labels, sum(NOT (agreed OR :soft)) AS ties,
    sum(iif(agreed OR :soft, negative, 0)) AS negative, sum(iif(agreed OR :soft, neutral, 0)) AS neutral,
    sum(iif(agreed OR :soft, positive, 0)) AS positive, sum((agreed OR :soft) AND negative > 0.5) AS wrong
  FROM resolved GROUP BY trace_id
),
reasons AS MATERIALIZED (
  SELECT trace_id, sum(why = '') AS usable, min(nullif(why, '')) AS why FROM said GROUP BY trace_id
)
SELECT scope.id, problem.fold, spans.steps, length(problem.prompt) + coalesce(spans.characters, 0) AS characters,
  coalesce(summed.labels, 0) AS labels, coalesce(summed.ties, 0) AS ties, coalesce(reasons.usable, 0) AS usable,
  reasons.why, coalesce(summed.negative, 0) AS negative, coalesce(summed.neutral, 0) AS neutral,
  coalesce(summed.positive, 0) AS positive, coalesce(summed.wrong, 0) AS wrong, scope.outcome,
  coalesce(trim(problem.reference_answer), '') <> '' AS referenced
FROM scope JOIN problem ON problem.id = scope.problem_id
JOIN (
  SELECT scope.id, count(step.ordinal) AS steps, sum(step."end" - step.start) AS characters
  FROM scope LEFT JOIN step ON step.segmentation_id = scope.segmentation_id GROUP BY scope.id
) AS spans ON spans.id = scope.id
LEFT JOIN summed ON summed.trace_id = scope.id LEFT JOIN reasons ON reasons.trace_id = scope.id
ORDER BY scope.id
"""

SOURCES = f"""{SCOPE}
SELECT said.trace_id, said.uid, said.revision, project.name AS project
FROM said JOIN project ON project.id = said.project_id WHERE why = '' ORDER BY said.trace_id, said.id DESC
"""

VOTES = f"""{SCOPE} SELECT trace_id, ordinal, negative, neutral, positive FROM resolved WHERE agreed OR :soft"""

REPAIRS = f"""{SCOPE}  -- the last row of a step, which a mapping keeps, is what most people say
SELECT said.trace_id, rating.ordinal, rating.repairs
FROM said JOIN rating ON rating.annotation_id = said.id AND rating.option = 0 AND rating.repairs IS NOT NULL
WHERE said.why = '' GROUP BY said.trace_id, rating.ordinal, rating.repairs ORDER BY count(*), rating.repairs
"""

PROJECTS = """
SELECT project_trace.trace_id, min(project.name) FROM json_each(:traces) AS wanted
JOIN project_trace ON project_trace.trace_id = wanted.value JOIN project ON project.id = project_trace.project_id
GROUP BY project_trace.trace_id
"""

HEADS = """
SELECT trace.id, trace.uid, trace.text, trace.outcome, segmentation.version, problem.prompt, problem.fold,
  problem.reference_answer, batch.kind
FROM json_each(:traces) AS wanted JOIN trace ON trace.id = wanted.value
JOIN segmentation ON segmentation.trace_id = trace.id AND segmentation.current = 1
JOIN problem ON problem.id = trace.problem_id JOIN batch ON batch.id = trace.batch_id
ORDER BY trace.id
"""

STEPS = """
SELECT trace.id, step.ordinal, step.step_id, step.start, step."end"
FROM json_each(:traces) AS wanted JOIN trace ON trace.id = wanted.value
JOIN segmentation ON segmentation.trace_id = trace.id AND segmentation.current = 1
JOIN step ON step.segmentation_id = segmentation.id
ORDER BY trace.id, step.ordinal
"""
