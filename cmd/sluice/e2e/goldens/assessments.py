"""Feedback and expectations on traces."""

from goldens import API3, delete, each, get, patch, post
from goldens.traces import one

A = f"{API3}traces/{one(90)}/assessments"


def assess(path=A, **fields):
    keep = fields.pop("keep", {})
    whole = {"assessment_name": "quality", "trace_id": one(90), "source": {"source_type": "HUMAN", "source_id": "ada"}, "feedback": {"value": 0.5}}
    return post(path, {"assessment": {k: v for k, v in (whole | fields).items() if v is not None}}, keep=keep)


def change(mask, **fields):
    return patch(A + "/{as}", {"assessment": {"assessment_name": "quality", "trace_id": one(90)} | fields} | ({"update_mask": mask} if mask is not None else {}))


CASES = [
    post("experiments/create", {"name": "assessments"}, keep={"ae": "experiment_id"}),
    post(API3 + "traces", {"trace": {"trace_info": {"trace_id": one(90), "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "{ae}"}}, "request_time": "2024-01-01T00:00:00Z", "state": "OK"}}}),
    assess(keep={"as": "assessment.assessment_id"}), assess(assessment_name="polite", feedback={"value": "yes"}, rationale="why", metadata={"k": "v"}, span_id="s"), assess(assessment_name="truth", feedback=None, expectation={"value": {"a": [1, None, "x"]}}, keep={"ex": "assessment.assessment_id"}),
    *each(lambda v: assess(feedback={"value": v}), [True, 1, -1.5, "x", "", [1, 2], {"a": 1}, None]), assess(feedback={}), assess(feedback=None), assess(feedback={"value": 1}, expectation={"value": 1}), assess(feedback={"error": {"error_code": "E", "error_message": "m"}}), assess(expectation={}, feedback=None),
    assess(expectation={"serialized_value": {"serialization_format": "JSON_FORMAT", "value": "{}"}}, feedback=None), assess(expectation={"serialized_value": {"serialization_format": "x", "value": "{"}}, feedback=None),
    assess(assessment_name=None), assess(assessment_name=""), assess(assessment_name="n" * 251), assess(assessment_name="n" * 1000), assess(assessment_name=5), assess(source=None), assess(source={}), assess(source={"source_type": "NONSENSE", "source_id": "x"}), assess(source={"source_type": "HUMAN"}), assess(source={"source_type": "LLM_JUDGE", "source_id": "m"}),
    assess(source={"source_type": 1, "source_id": "x"}), assess(source="x"), assess(trace_id="tr-none"), assess(trace_id=None), assess(API3 + "traces/tr-none/assessments"), assess(API3 + "traces/tr-none/assessments", trace_id="tr-none"), assess(rationale="r" * 10000), assess(metadata={"k": 5}), assess(metadata="x"), assess(overrides="a-none"), assess(overrides="{as}"),
    assess(create_time="yesterday"), assess(valid=False), assess(feedback="x"), post(A), post(A, {"assessment": {}}), post(A, {"assessment": "x"}), post(A, {"assessment": None}),
    get(A + "/{as}"), get(A + "/a-none"), get(f"{API3}traces/tr-none/assessments/a-none"), get(A + "/{ex}"), get(f"{API3}traces/tr-none/assessments/" + "{as}"),
    change("feedback", feedback={"value": "better"}), change("rationale", rationale="said so"), change("assessmentName", assessment_name="renamed"), change("assessment_name", assessment_name="renamed"), change("metadata", metadata={"a": "b"}), change("expectation", expectation={"value": 5}), change("nonsense", rationale="x"), change("", rationale="x"), change(None, rationale="x"),
    change("feedback,rationale", feedback={"value": 1}, rationale="both"), change("feedback"), change("valid", valid=False), change("source", source={"source_type": "HUMAN", "source_id": "x"}), change({"paths": ["rationale"]}, rationale="x"), change(5, rationale="x"), patch(A + "/a-none", {"assessment": {"rationale": "x"}, "update_mask": "rationale"}), patch(A + "/{as}"),
    patch(A + "/{ex}", {"assessment": {"feedback": {"value": 1}}, "update_mask": "feedback"}), patch(A + "/{ex}", {"assessment": {"expectation": {"value": [1]}}, "update_mask": "expectation"}), get(A + "/{as}"),
    delete(A + "/{as}"), delete(A + "/{as}"), delete(A + "/a-none"), delete(f"{API3}traces/tr-none/assessments/a-none"), get(A + "/{as}"),
]
