"""`amiguardctl completion`: the script that makes a shell complete command lines."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Write the script that makes a SHELL complete commands, options and names.

    Names of findings, allowlist entries and rule revisions are asked of the server that the line
    names, contexts are read from their file. To have it in every new shell:

    \b
      bash  amiguardctl completion bash > ~/.local/share/bash-completion/completions/amiguardctl
      zsh   amiguardctl completion zsh > "${fpath[1]}/_amiguardctl"
      fish  amiguardctl completion fish > ~/.config/fish/completions/amiguardctl.fish
    """  # noqa: D301 - click's mark of lines that stay as they are
    from click.shell_completion import get_completion_class

    from amiguard_client.cli.main import COMPLETION_VARIABLE

    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click knows these three
    click.echo(kind(ctx.find_root().command, {}, "amiguardctl", COMPLETION_VARIABLE).source())
