"""What explanations say, in English and Chinese: one row a sentence."""

LANGUAGES = ("en", "zh")

_WORDS: dict[str, tuple[str, str]] = {
    "title": ("One training step", "一次训练步骤"),
    "forward": ("1 Forward: from the input to the output", "1 前向传播：从输入到输出"),
    "loss": ("2 Loss: how wrong the output is", "2 损失：输出错得多远"),
    "backward": ("3 Backward: the chain rule, last layer first",
                 "3 反向传播：链式法则，从最后一层开始"),
    "update": ("4 Update: the weights move against the gradient", "4 更新：权重沿梯度反方向移动"),
    "one": ("one example", "一个样本"),
    "batch": ("mean over the batch", "整个批次的平均"),
    "input": ("input x", "输入 x"),
    "target": ("target y", "目标 y"),
    "output": ("output", "输出"),
    "layer": ("layer", "层"),
    "shape": ("shape", "形状"),
    "share": ("gradient against the last layer's", "梯度与最后一层之比"),
    "before": ("before", "更新前"),
    "step": ("change", "变化"),
    "after": ("after", "更新后"),
    "largest": ("the {n} largest of {total}", "{total} 个中最大的 {n} 个"),
    "rule": ("rule", "规则"),
    "predicted": ("promised by the gradient", "梯度预测的新损失"),
    "actual": ("actual new loss", "实际的新损失"),
    "check": ("largest relative difference from float64 differences",
              "与 float64 数值微分的最大相对误差"),
    "neuron": ("neuron {unit} of {layer}", "{layer} 的第 {unit} 个神经元"),
    "weight": ("weight {place} of {path}", "{path} 的权重 {place}"),
    "filter": ("filter {unit} of {layer}", "{layer} 的第 {unit} 个卷积核"),
    "time": ("time step {time}", "时间步 {time}"),
    "examples": ("one term an example", "每个样本一项"),
    "at once": ("{kind} and loss are differentiated together, by z",
                "{kind} 与损失合在一起对 z 求导"),
    "unused": ("the loss does not depend on it", "损失与它无关"),
    "from loss": ("the derivative of the loss by the output", "损失对输出的导数"),
    "from layers": ("the chain rule through {layers}", "经过 {layers} 的链式法则"),
    "chain": ("the chain rule inside the network", "网络内部的链式法则"),
    "computed": ("what {kind} makes of its inputs", "{kind} 由输入算出"),
    "promise": ("L + sum of dL/dw * change", "L + dL/dw * 变化 之和"),
    "again": ("the same rows with the weights after", "同样的行，用更新后的权重"),
    "choose": ("example", "样本"),
    "freeze": ("Freeze and compare", "定格并比较"),
    "release": ("Stop comparing", "停止比较"),
    "compared": ("▲ more, ▼ less than in", "▲ 更大，▼ 更小，相比"),
    "hint": ("Point at a number, or use Tab and the arrow keys, to see where it comes from.",
             "指向一个数字，或用 Tab 和方向键：显示它从哪里来。"),
}  # fmt: skip


def words(language: str) -> dict[str, str]:
    """All sentences in one language."""
    place = LANGUAGES.index(language)
    return {key: row[place] for key, row in _WORDS.items()}
