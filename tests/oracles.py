"""Slow float64 references: a loop for every sum of the formula."""

from __future__ import annotations

import math


def contrastive_oracle(anchors, pool, positives, candidates, temperature):
    """Loop over the anchors of one exit. Vectors as lists of floats; a set of pool indices per anchor."""

    def cosine(a, b):
        length_a, length_b = math.sqrt(sum(x * x for x in a)), math.sqrt(sum(x * x for x in b))
        if length_a <= 1e-12 or length_b <= 1e-12:
            return 0.0
        return sum(x * y for x, y in zip(a, b, strict=True)) / (length_a * length_b)

    losses = []
    for i, anchor in enumerate(anchors):
        if not positives[i]:
            continue
        scores = {j: cosine(anchor, pool[j]) / temperature for j in candidates[i]}
        peak = max(scores.values())
        log_total = peak + math.log(sum(math.exp(s - peak) for s in scores.values()))
        losses.append(-sum(scores[p] - log_total for p in positives[i]) / len(positives[i]))
    return sum(losses) / len(losses) if losses else 0.0


def supervised_contrastive_oracle(embeddings, labels, temperature):
    """Supervised contrastive loss of an exit."""
    others = [{j for j in range(len(labels)) if j != i} for i in range(len(labels))]
    positives = [{j for j in others[i] if labels[j] == labels[i]} for i in range(len(labels))]
    return contrastive_oracle(embeddings, embeddings, positives, others, temperature)


def acl_embed_oracle(embeddings, labels, label_embeddings, temperature, label_anchors):
    """ACL-Embed of an exit: SCL over samples and label embeddings; without `label_anchors` only samples are anchors."""
    union, union_labels = embeddings + label_embeddings, list(labels) + list(range(len(label_embeddings)))
    anchors = range(len(union) if label_anchors else len(embeddings))
    others = [{j for j in range(len(union)) if j != i} for i in anchors]
    positives = [{j for j in others[i] if union_labels[j] == union_labels[i]} for i in anchors]
    return contrastive_oracle([union[i] for i in anchors], union, positives, others, temperature)


def queue_oracle(embeddings, labels, kept, kept_labels, temperature, label_embeddings=()):
    """SCL of an exit with samples of earlier batches in the pool; with label embeddings ACL-Embed with all anchors."""
    anchors = embeddings + list(label_embeddings)
    anchor_labels = list(labels) + list(range(len(label_embeddings)))
    pool, pool_labels = anchors + kept, anchor_labels + list(kept_labels)
    others = [{j for j in range(len(pool)) if j != i} for i in range(len(anchors))]
    positives = [{j for j in others[i] if pool_labels[j] == anchor_labels[i]} for i in range(len(anchors))]
    return contrastive_oracle(anchors, pool, positives, others, temperature)


def confidence_exit(logits_EC, bound):
    """Index of the exit at which one sample leaves: the first whose largest probability reaches `bound`."""
    for exit_, logits_C in enumerate(logits_EC):
        if max(_softmax(logits_C)) >= bound:
            return exit_
    return len(logits_EC) - 1


def entropy_exit(logits_EC, bound):
    """DeeBERT's loop: the first exit whose entropy in nats is at most `bound`."""
    for exit_, logits_C in enumerate(logits_EC):
        if -sum(p * math.log(p) for p in _softmax(logits_C) if p > 0) <= bound:
            return exit_
    return len(logits_EC) - 1


def patience_exit(logits_EC, patience, delta=None):
    """PABEE's counter: leave when `patience` consecutive exits have agreed with the exit before them."""
    counter, previous = 0, None
    for exit_, logits_C in enumerate(logits_EC):
        answer = logits_C[0] if len(logits_C) == 1 else logits_C.index(max(logits_C))
        if previous is not None:
            agrees = answer == previous if delta is None else abs(answer - previous) < delta
            counter = counter + 1 if agrees else 0
        previous = answer
        if counter == patience:
            return exit_
    return len(logits_EC) - 1


def margin_exit(logits_EC, bound):
    """Index of the first exit whose largest probability leads the second largest by `bound`."""
    for exit_, logits_C in enumerate(logits_EC):
        second, first = sorted(_softmax(logits_C))[-2:]
        if first - second >= bound:
            return exit_
    return len(logits_EC) - 1


def pcee_exit(logits_EC, patience, bound):
    """PCEE-BERT's counter: leave when `patience` consecutive exits have an entropy below `bound` (relative to ln C)."""
    counter = 0
    for exit_, logits_C in enumerate(logits_EC):
        entropy = -sum(p * math.log(p) for p in _softmax(logits_C) if p > 0) / math.log(len(logits_C))
        counter = counter + 1 if entropy < bound else 0
        if counter == patience:
            return exit_
    return len(logits_EC) - 1


def fpabee_exit(logits_EC, patience, bound):
    """F-PABEE's counter: leave when `patience` consecutive exits diverge by less than `bound` bits from the last."""
    counter, previous = 0, None
    for exit_, logits_C in enumerate(logits_EC):
        current = _softmax(logits_C)
        if previous is not None:
            divergence = 0.0
            for p, q in zip(previous, current, strict=True):
                mean = (p + q) / 2
                divergence += (p * math.log2(p / mean) if p > 0 else 0.0) / 2
                divergence += (q * math.log2(q / mean) if q > 0 else 0.0) / 2
            counter = counter + 1 if divergence < bound else 0
        previous = current
        if counter == patience:
            return exit_
    return len(logits_EC) - 1


def gate_exit(gates_E, bound):
    """BERxiT's loop: the first exit whose gate reaches `bound`."""
    for exit_, gate in enumerate(gates_E):
        if 1 / (1 + math.exp(-gate)) >= bound:
            return exit_
    return len(gates_E) - 1


def prototype_margin_oracle(logits_C, embedding_D, labels_CD, weight):
    """Certainty of one exit from its logits, the input of its classifier and its label embeddings."""
    p_C = _softmax(logits_C)
    entropy = -sum(p * math.log(p) for p in p_C) / math.log(len(p_C))
    cosines_C = [_cosine(embedding_D, label_D) for label_D in labels_CD]
    predicted = max(range(len(logits_C)), key=lambda label: logits_C[label])
    others = [cosine for label, cosine in enumerate(cosines_C) if label != predicted]
    return (1 - weight) * (1 - entropy) + weight * (2 + cosines_C[predicted] - max(others)) / 4


def geometric_mean_oracle(logits_EC, weights_E):
    """Class probabilities of the weighted product of the exits' distributions."""
    p_EC = [_softmax(logits_C) for logits_C in logits_EC]
    product_C = [
        math.prod(p_C[label] ** weight for p_C, weight in zip(p_EC, weights_E, strict=True))
        for label in range(len(p_EC[0]))
    ]
    return [product / sum(product_C) for product in product_C]


def _softmax(logits_C):
    exponentials = [math.exp(logit - max(logits_C)) for logit in logits_C]
    return [exponential / sum(exponentials) for exponential in exponentials]


def bert_row_oracle(layer, query, tokens):
    """Compute a row of a sample after a post-norm BERT layer, with attention to `tokens`, head by head in float64.

    `layer` is a Hugging Face layer; `query` a list of D floats, `tokens` a list of such lists.
    """

    def linear(module, vector):
        weight, bias = module.weight.double().tolist(), module.bias.double().tolist()
        return [sum(w * x for w, x in zip(row, vector, strict=True)) + b for row, b in zip(weight, bias, strict=True)]

    def norm(module, vector):
        mean = sum(vector) / len(vector)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in vector) / len(vector) + module.eps)
        scale, shift = module.weight.double().tolist(), module.bias.double().tolist()
        return [(x - mean) / deviation * s + t for x, s, t in zip(vector, scale, shift, strict=True)]

    attention = layer.attention.self
    q = linear(attention.query, query)
    keys, values = ([linear(m, token) for token in tokens] for m in (attention.key, attention.value))
    size, context = attention.attention_head_size, []
    for start in range(0, len(q), size):
        part = slice(start, start + size)
        scores = [sum(a * b for a, b in zip(q[part], k[part], strict=True)) / math.sqrt(size) for k in keys]
        weights = _softmax(scores)
        context += [sum(w * v[i] for w, v in zip(weights, values, strict=True)) for i in range(start, start + size)]
    attended = linear(layer.attention.output.dense, context)
    attended = norm(layer.attention.output.LayerNorm, [a + b for a, b in zip(attended, query, strict=True)])
    wide = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in linear(layer.intermediate.dense, attended)]
    narrow = linear(layer.output.dense, wide)
    return norm(layer.output.LayerNorm, [a + b for a, b in zip(narrow, attended, strict=True)])


def _cosine(a, b):
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths > 0 else 0.0


def _pairs(count):
    return [(i, j) for i in range(count) for j in range(i)]


def _directions(vectors):
    return [[x / math.sqrt(sum(y * y for y in vector)) for x in vector] for vector in vectors]


def _mean(vectors):
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def alignment_oracle(vectors, labels):
    """Wang & Isola's alignment, exponent 2, over the pairs of one class. No zero vectors, here and below."""
    units = _directions(vectors)
    found = [math.dist(units[i], units[j]) ** 2 for i, j in _pairs(len(units)) if labels[i] == labels[j]]
    return sum(found) / len(found)


def uniformity_oracle(vectors, t):
    """Wang & Isola's uniformity."""
    units = _directions(vectors)
    found = [math.exp(-t * math.dist(units[i], units[j]) ** 2) for i, j in _pairs(len(units))]
    return math.log(sum(found) / len(found))


def anisotropy_oracle(vectors):
    """Mean cosine over all pairs."""
    found = [_cosine(vectors[i], vectors[j]) for i, j in _pairs(len(vectors))]
    return sum(found) / len(found)


def effective_rank_oracle(vectors):
    """Roy & Vetterli's effective rank of the centred vectors; singular values as roots of the Gram matrix's values."""
    import numpy as np

    centred = np.array(vectors) - np.array(_mean(vectors))
    values = [math.sqrt(value) for value in np.linalg.eigvalsh(centred @ centred.T) if value > 1e-12]
    return math.exp(-sum(value / sum(values) * math.log(value / sum(values)) for value in values))


def class_separation_oracle(vectors, labels):
    """Correlation ratio of the directions: variance between the class means over the total variance."""
    units = _directions(vectors)
    centre = _mean(units)
    means = {label: _mean([u for u, y in zip(units, labels, strict=True) if y == label]) for label in set(labels)}
    between = sum(math.dist(means[label], centre) ** 2 for label in labels)
    return between / sum(math.dist(unit, centre) ** 2 for unit in units)


def label_alignment_oracle(vectors, labels, label_embeddings):
    """Mean cosine distance of each label embedding to its class mean, and its margin to the nearest other mean."""
    units = _directions(vectors)
    means = {label: _mean([u for u, y in zip(units, labels, strict=True) if y == label]) for label in set(labels)}
    distances, margins = [], []
    for label, mean in means.items():
        own = 1 - _cosine(label_embeddings[label], mean)
        others = [1 - _cosine(label_embeddings[label], means[other]) for other in means if other != label]
        distances.append(own)
        margins.append(min(others) - own)
    return sum(distances) / len(distances), sum(margins) / len(margins)


def correlation_penalty_oracle(embeddings):
    """Mean squared correlation of two different features of an exit, without constant features."""
    columns = []
    for feature in zip(*embeddings, strict=True):
        mean = math.fsum(feature) / len(feature)
        centred = [x - mean for x in feature]
        length = math.sqrt(math.fsum(x * x for x in centred))
        if length > 1e-9:
            columns.append([x / length for x in centred])
    squares = [
        math.fsum(a * b for a, b in zip(first, second, strict=True)) ** 2
        for i, first in enumerate(columns)
        for j, second in enumerate(columns)
        if i != j
    ]
    return math.fsum(squares) / len(squares) if squares else 0.0


def acf_oracle(embeddings, labels, label_embeddings, temperature, correlation_weight):
    """ACF of an exit: InfoNCE with samples as anchors, and the regulariser."""
    union, union_labels = embeddings + label_embeddings, list(labels) + list(range(len(label_embeddings)))
    pools = [{j for j in range(len(union)) if j != i} for i in range(len(embeddings))]
    positives = [{j for j in pools[i] if union_labels[j] == labels[i]} for i in range(len(embeddings))]
    contrast = contrastive_oracle(embeddings, union, positives, pools, temperature)
    return contrast + correlation_weight * correlation_penalty_oracle(embeddings)


def acl_cross_layer_oracle(student, teacher, labels, label_embeddings, temperature):
    """ACL-CL of a student exit: its samples against the samples and label embeddings of the teacher."""
    pool, pool_labels = teacher + label_embeddings, list(labels) + list(range(len(label_embeddings)))
    everything = set(range(len(pool)))
    positives = [{j for j in everything if pool_labels[j] == label} for label in labels]
    return contrastive_oracle(student, pool, positives, [everything] * len(student), temperature)


def distillation_oracle(student_logits, teacher_logits, temperature):
    """`T^2 KL(teacher || student)` of an exit, mean over the samples."""
    total = 0.0
    for student, teacher in zip(student_logits, teacher_logits, strict=True):
        p, q = (_softmax([x / temperature for x in logits]) for logits in (teacher, student))
        total += math.fsum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q, strict=True))
    return temperature**2 * total / len(student_logits)


def r_drop_oracle(first_logits, second_logits):
    """Half of the sum of both KL divergences between two lists of logits, averaged over the samples, in nats."""
    total = 0.0
    for first, second in zip(first_logits, second_logits, strict=True):
        p, q = _softmax(first), _softmax(second)
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 2
        total += sum(b * math.log(b / a) for a, b in zip(p, q, strict=True)) / 2
    return total / len(first_logits)


def sample_weights_oracle(logits_EBC, threshold, softness, uniform_share, kind):
    """Weights of samples that leave or reach an exit by their normalised entropy: a list over exits of lists."""
    num_exits, num_samples = len(logits_EBC), len(logits_EBC[0])
    selected = [[0.0] * num_samples for _ in range(num_exits)]
    for b in range(num_samples):
        reach = 1.0
        for m in range(num_exits):
            p = _softmax(logits_EBC[m][b])
            certainty = 1 + sum(x * math.log(x) for x in p) / math.log(len(p))
            leaves = 1.0 if m == num_exits - 1 else 1 / (1 + math.exp(-(certainty - threshold) / softness))
            selected[m][b] = reach * leaves if kind == "leave" else reach
            reach *= 1 - leaves
    means = [sum(row) / num_samples for row in selected]
    return [
        [(1 - uniform_share) * value / mean + uniform_share for value in row]
        for row, mean in zip(selected, means, strict=True)
    ]


def cross_entropy_oracle(logits, labels, weights, smoothing):
    """Weighted mean over the samples of an exit of the cross-entropy with smoothed labels."""
    numerator = denominator = 0.0
    for row, label in zip(logits, labels, strict=True):
        losses = [-math.log(p) for p in _softmax(row)]
        numerator += (1 - smoothing) * weights[label] * losses[label]
        numerator += smoothing / len(row) * math.fsum(w * loss for w, loss in zip(weights, losses, strict=True))
        denominator += weights[label]
    return numerator / denominator if denominator else 0.0


def expected_calibration_error(probabilities, labels, bins=15):
    """Guo et al.'s equation 3, sample by sample: bins ((i - 1) / bins, i / bins] of the largest probability."""
    total, error = len(labels), 0.0
    for number in range(1, bins + 1):
        members = [
            (max(row), row.index(max(row)) == label)
            for row, label in zip(probabilities, labels, strict=True)
            if (number - 1) / bins < max(row) <= number / bins
        ]
        if members:
            confidence = sum(sure for sure, _ in members) / len(members)
            accuracy = sum(right for _, right in members) / len(members)
            error += len(members) / total * abs(accuracy - confidence)
    return error
