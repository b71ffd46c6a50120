"""Networks: timm backbones, the paper's Baseline with its dual-task variants, and the shipped micro-world backbone."""
