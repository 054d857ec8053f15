"""`python train.py …` in a checkout is `hybrid train …`: see hybrid/commands/train.py."""

from hybrid.commands.train import train

if __name__ == "__main__":
    train()
