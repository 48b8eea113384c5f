"""graviton-agent: measured PyTorch CPU settings for AWS Graviton hosts."""

__version__ = "0.1.0"
