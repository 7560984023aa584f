import pytest

from service.estimation.rehearsal_records import Rehearsal, RehearsalRow
from service.estimation.rehearsal_verdicts import Candidate, best_cross_modal, best_modality, contradictions
from service.estimation.terms import Encoder, Metric, Modality

X, Y, CA_X, CA_Y, FORWARD, REVERSE = (
    Encoder.X,
    Encoder.Y,
    Encoder.CA_X,
    Encoder.CA_Y,
    Encoder.CP_X_TO_Y,
    Encoder.CP_Y_TO_X,
)


def rows_of(label, scores, se=0.01, chance=0.0):
    """Rows from {encoder or (encoder, dim): score}; the errors of scores and differences alike."""
    better = max(scores[X], scores[Y])
    return tuple(
        RehearsalRow(
            encoder=encoder,
            embedding_dim=dim,
            label=label,
            metric=Metric.BALANCED_ACCURACY if chance else Metric.R2,
            score=score,
            standard_error=se,
            chance=chance,
            difference=score - better,
            difference_se=0.0 if score == better else se,
        )
        for (encoder, dim), score in (
            (key if isinstance(key, tuple) else (key, None if key in (X, Y) else 3), score)
            for key, score in scores.items()
        )
    )


def rehearsal(*labels):
    return Rehearsal(100, False, 5, (), tuple(row for rows in labels for row in rows))


def said(found, dim=3, ca=None, forward=None, reverse=None):
    return contradictions(found, dim, ca, forward, reverse)


def test_the_better_modality_by_lift_over_chance():
    """A balanced accuracy of 0.8 where chance is 0.5 is a lift of 0.6."""
    numeric = rows_of("a", {X: 0.5, Y: 0.3})
    classes = rows_of("b", {X: 0.6, Y: 0.8}, chance=0.5)
    assert best_modality(rehearsal(numeric)) is Modality.X
    assert best_modality(rehearsal(classes)) is Modality.Y
    assert best_modality(rehearsal(numeric, classes)) is Modality.Y  # lifts 0.5 + 0.2 against 0.3 + 0.6


def test_x_on_a_tie():
    assert best_modality(rehearsal(rows_of("a", {X: 0.5, Y: 0.5}))) is Modality.X


@pytest.mark.parametrize(("score", "expected"), [(0.009, None), (0.011, Modality.Y), (-0.2, None)])
def test_no_modality_within_one_standard_error_of_chance(score, expected):
    assert best_modality(rehearsal(rows_of("a", {X: -0.3, Y: score}))) is expected


def test_the_best_cross_modal_encoder_with_its_dimension():
    first = rows_of("a", {X: 0.9, Y: 0.1, (CA_X, 8): 0.5, (CA_X, 2): 0.7, FORWARD: 0.4, (Encoder.PCA_X, 8): 0.8})
    second = rows_of("b", {X: 0.9, Y: 0.1, (CA_X, 8): 0.5, (CA_X, 2): 0.4, FORWARD: 0.3, (Encoder.PCA_X, 8): 0.8}, 0.03)
    assert best_cross_modal(rehearsal(first, second)) == Candidate(CA_X, 2, pytest.approx(0.55), pytest.approx(0.02))
    classes = rows_of("c", {X: 0.9, Y: 0.5, CA_X: 0.625, FORWARD: 0.5}, 0.03, chance=0.25)
    assert best_cross_modal(rehearsal(classes)) == Candidate(CA_X, 3, pytest.approx(0.5), pytest.approx(0.04))


def test_nothing_rehearsed_has_no_best():
    assert best_modality(rehearsal()) is None
    assert best_cross_modal(rehearsal()) is None
    assert best_cross_modal(rehearsal(rows_of("a", {X: 0.5, Y: 0.4}))) is None
    assert best_cross_modal(rehearsal(rows_of("a", {X: 0.5, Y: 0.4, CA_X: -0.1}))) is None
    assert said(rehearsal(), ca=True, forward=False, reverse=True) == ()


@pytest.mark.parametrize(
    ("score", "recovers", "contradicted"),
    [
        (0.80, True, False),
        (0.71, True, False),  # below nine tenths of 0.8, but not by two standard errors of 0.01
        (0.69, True, True),
        (-0.50, True, True),
        (0.90, False, True),
        (0.80, False, True),
        (0.75, False, True),
        (0.73, False, False),  # above nine tenths of 0.8, but not by two standard errors
        (0.10, False, False),
    ],
)
def test_an_encoder_keeps_or_loses_nine_tenths_of_the_lift_by_two_standard_errors(score, recovers, contradicted):
    found = rehearsal(rows_of("a", {X: 0.8, Y: 0.2, CA_X: score, CA_Y: 0.0}))
    sentences = said(found, ca=recovers)
    assert bool(sentences) is contradicted
    if sentences:
        assert sentences[0].startswith("The ratio of alignment says that it ")
        assert ("does not recover" in sentences[0]) is not recovers
        assert "dimension 3" in sentences[0]
        assert "on 1 of 1 labels" in sentences[0]


def test_lift_counts_from_chance():
    """0.75 keeps nine tenths of 0.8 above 0, but not of the 0.3 above 0.5."""
    scores = {X: 0.8, Y: 0.6, CA_X: 0.75}
    assert len(said(rehearsal(rows_of("a", scores, 0.001)), ca=False)) == 1
    assert said(rehearsal(rows_of("a", scores, 0.001, chance=0.5)), ca=False) == ()
    assert len(said(rehearsal(rows_of("a", scores, 0.001, chance=0.5)), ca=True)) == 1


def test_no_claim_is_never_contradicted():
    assert said(rehearsal(rows_of("a", {X: 0.8, Y: 0.2, CA_X: 0.0, FORWARD: 0.0, REVERSE: 0.0}))) == ()


def test_the_best_encoder_of_alignment_speaks_for_it():
    found = rehearsal(rows_of("a", {X: 0.2, Y: 0.8, CA_X: 0.1, CA_Y: 0.8, Encoder.CA_BOTH: 0.5}))
    assert said(found, ca=True) == ()
    assert len(said(found, ca=False)) == 1


@pytest.mark.parametrize(("losing", "contradicted"), [(0, False), (1, False), (2, False), (3, True), (4, True)])
def test_it_takes_more_than_half_of_the_labels(losing, contradicted):
    labels = [rows_of(str(place), {X: 0.8, Y: 0.2, CA_X: 0.1 if place < losing else 0.8}) for place in range(4)]
    sentences = said(rehearsal(*labels), ca=True)
    assert bool(sentences) is contradicted
    if sentences:
        assert f"on {losing} of 4 labels" in sentences[0]


def test_a_prediction_can_lose_only_labels_that_its_source_predicts_better():
    found = rehearsal(rows_of("a", {X: 0.8, Y: 0.4, FORWARD: 0.3, REVERSE: 0.1}))
    sentences = said(found, forward=True, reverse=True)
    assert len(sentences) == 1
    assert "prediction of y from x" in sentences[0]
    found = rehearsal(rows_of("a", {X: 0.4, Y: 0.8, FORWARD: 0.3, REVERSE: 0.1}))
    sentences = said(found, forward=True, reverse=True)
    assert len(sentences) == 1
    assert "prediction of x from y" in sentences[0]


def test_a_prediction_can_keep_any_label():
    found = rehearsal(rows_of("a", {X: 0.4, Y: 0.8, FORWARD: 0.8, REVERSE: 0.1}))
    assert len(said(found, forward=False, reverse=False)) == 1


@pytest.mark.parametrize(("score", "contradicted"), [(0.019, False), (0.021, True)])
def test_a_label_that_no_modality_predicts_cannot_be_kept(score, contradicted):
    found = rehearsal(rows_of("a", {X: score, Y: -0.1, CA_X: 0.5}))
    assert bool(said(found, ca=False)) is contradicted


def test_a_label_that_no_modality_predicts_is_lost_only_below_it():
    """The lift is no less than 0: an encoder as bad as both modalities has lost nothing."""
    assert said(rehearsal(rows_of("a", {X: -0.3, Y: -0.4, CA_X: -0.31})), ca=True) == ()


@pytest.mark.parametrize(("dim", "contradicted"), [(8, False), (20, False), (7, True), (2, True), (1, False)])
def test_the_rehearsed_dimension_nearest_below_speaks(dim, contradicted):
    found = rehearsal(rows_of("a", {X: 0.8, Y: 0.2, (CA_X, 8): 0.8, (CA_X, 2): 0.1}))
    sentences = said(found, dim, ca=True)
    assert bool(sentences) is contradicted
    assert not sentences or "dimension 2 " in sentences[0]
