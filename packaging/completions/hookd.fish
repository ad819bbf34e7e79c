# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_hookd_global_optspecs
    string join \n config= json h/help V/version
end

function __fish_hookd_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_hookd_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_hookd_using_subcommand
    set -l cmd (__fish_hookd_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c hookd -n "__fish_hookd_needs_command" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_needs_command" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_needs_command" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_needs_command" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "serve" -d 'Run the daemon, in the foreground'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "check" -d 'Read the configuration and report every problem'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "add" -d 'Set up a new repo: secret, deploy key, host key, directory and configuration; with a token also at the forge'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "remove" -d 'Remove what `add` set up. The site stays, unless it is purged'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "doctor" -d 'Check everything that can be wrong on this machine, and print how to fix it'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "demo" -d 'Show hookd at work on this machine: a site, a push, a signed webhook, a deployment, a rollback'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "explain" -d 'Explain what a delivery would do, and why'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "send" -d 'Send a signed push delivery, as the forge would'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "status" -d 'Show what is live, running and pending, and each problem'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "history" -d 'List deployments'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "deliveries" -d 'List webhook deliveries'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "releases" -d 'List the releases of a target'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "logs" -d 'Print the log of a deployment'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "deploy" -d 'Deploy the tip of a target\'s ref'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "retry" -d 'Retry what failed or was rolled back'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "rollback" -d 'Roll back to an earlier release at once, and stay there until `resume`'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "replay" -d 'Handle a stored delivery again, as if it had just arrived'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "cancel" -d 'Stop a target\'s running deployment, and drop pending ones'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "pause" -d 'Deploy nothing to a target until `resume`'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "resume" -d 'Resume a paused or rolled-back target'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "token" -d 'Make, list and remove tokens for programs that ask the status address'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "audit" -d 'Say who did what'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "schema" -d 'Print the JSON Schema of the configuration, for editors'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "notify" -d 'Test notifications'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "report" -d 'Test commit statuses'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "completions" -d 'Print a completion script'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "man" -d 'Print a manual page, in roff'
complete -c hookd -n "__fish_hookd_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookd -n "__fish_hookd_using_subcommand serve" -l log-format -d 'Format of log lines; default: journal under systemd, else text' -r -f -a "text\t'One readable line each, on stderr'
json\t'One JSON object each, on stderr'
journal\t'To systemd\'s journal'"
complete -c hookd -n "__fish_hookd_using_subcommand serve" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand serve" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookd -n "__fish_hookd_using_subcommand serve" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand check" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand check" -l remote -d 'Also ask each remote, and check keys, permissions and directories'
complete -c hookd -n "__fish_hookd_using_subcommand check" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand check" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand check" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand add" -l name -d 'Name of the repo; default: the last part of the URL' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l branch -d 'The branch to follow' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l tag -d 'Follow the tags of this pattern instead: `v*`' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l target -d 'Name of the target' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l path -d 'The target\'s directory; default: /srv/NAME' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand add" -l build -d 'Shell line that builds a release, before it is live' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l reload -d 'Shell line that runs after a release went live' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l check -d 'URL that must answer 2xx, or shell line that must succeed; else the previous release comes back' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l forge -d 'The forge: github, gitlab, gitea, …; default: detected from the URL' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l full-name -d 'Name at the forge, `alice/blog`, if it is not the path of the URL' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l hook-url -d 'URL by which the forge reaches hookd: `https://blog.example.org`, with the path if it is not /hook/NAME' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l token -d 'Create webhook and deploy key at the forge with this token: `file:PATH` or `env:VARIABLE`. It is not kept' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l api -d 'Base URL of the forge\'s API; default: derived from forge and host' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l accept-host-key -d 'Fingerprint of the remote\'s host key, `SHA256:…`, if no forge publishes it' -r
complete -c hookd -n "__fish_hookd_using_subcommand add" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand add" -l show-secret -d 'Print the webhook\'s secret; on a terminal only'
complete -c hookd -n "__fish_hookd_using_subcommand add" -l dry-run -d 'Only print what would be created'
complete -c hookd -n "__fish_hookd_using_subcommand add" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand add" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand add" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand remove" -l token -d 'Delete webhook and deploy key at the forge with this token: `file:PATH` or `env:VARIABLE`. It is not kept' -r
complete -c hookd -n "__fish_hookd_using_subcommand remove" -l api -d 'Base URL of the forge\'s API; default: derived from forge and host' -r
complete -c hookd -n "__fish_hookd_using_subcommand remove" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand remove" -l purge -d 'Also delete releases, shared files and mirrors'
complete -c hookd -n "__fish_hookd_using_subcommand remove" -l yes -d 'Don\'t ask before a purge'
complete -c hookd -n "__fish_hookd_using_subcommand remove" -l dry-run -d 'Only print what would be removed'
complete -c hookd -n "__fish_hookd_using_subcommand remove" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand remove" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand remove" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand doctor" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand doctor" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand demo" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand demo" -l once -d 'Exit after everything was shown once'
complete -c hookd -n "__fish_hookd_using_subcommand demo" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand demo" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand demo" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand explain" -s H -l header -d 'A header of the delivery' -r
complete -c hookd -n "__fish_hookd_using_subcommand explain" -l forge -d 'The forge that sent it; default: detected from headers and payload' -r
complete -c hookd -n "__fish_hookd_using_subcommand explain" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand explain" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand explain" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand explain" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand send" -l url -d 'URL to send to; default: the address that hookd listens on' -r
complete -c hookd -n "__fish_hookd_using_subcommand send" -l ref -d 'The ref that was pushed; default: the first that a target follows' -r
complete -c hookd -n "__fish_hookd_using_subcommand send" -l commit -d 'The commit that was pushed; default: the remote\'s tip' -r
complete -c hookd -n "__fish_hookd_using_subcommand send" -l payload -d 'Send this payload instead of a generated one' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand send" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand send" -l print -d 'Print a curl line instead of sending'
complete -c hookd -n "__fish_hookd_using_subcommand send" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand send" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand send" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand status" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand status" -l check -d 'Exit with 1 if a target has a problem'
complete -c hookd -n "__fish_hookd_using_subcommand status" -s w -l watch -d 'Refresh it until Ctrl-C'
complete -c hookd -n "__fish_hookd_using_subcommand status" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand status" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand status" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand history" -s n -l limit -d 'Most entries to list' -r
complete -c hookd -n "__fish_hookd_using_subcommand history" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand history" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand history" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand history" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand deliveries" -l result -d 'Only those with this result' -r -f -a "accepted\t''
ignored\t''
pong\t''
duplicate\t''
rejected\t''"
complete -c hookd -n "__fish_hookd_using_subcommand deliveries" -s n -l limit -d 'Most entries to list' -r
complete -c hookd -n "__fish_hookd_using_subcommand deliveries" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand deliveries" -l ids -d 'Also show the forge\'s ids'
complete -c hookd -n "__fish_hookd_using_subcommand deliveries" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand deliveries" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand deliveries" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand releases" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand releases" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand releases" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand releases" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand logs" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand logs" -s f -l follow -d 'Follow the log until the deployment ends'
complete -c hookd -n "__fish_hookd_using_subcommand logs" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand logs" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand logs" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand deploy" -l ref -d 'The branch or tag, for targets that follow a pattern' -r
complete -c hookd -n "__fish_hookd_using_subcommand deploy" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand deploy" -l no-wait -d 'Don\'t wait for the deployment to end'
complete -c hookd -n "__fish_hookd_using_subcommand deploy" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand deploy" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand deploy" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand retry" -l ref -d 'The branch or tag, for targets that follow a pattern' -r
complete -c hookd -n "__fish_hookd_using_subcommand retry" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand retry" -l no-wait -d 'Don\'t wait for the deployment to end'
complete -c hookd -n "__fish_hookd_using_subcommand retry" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand retry" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand retry" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand rollback" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand rollback" -l no-wait -d 'Don\'t wait for the deployment to end'
complete -c hookd -n "__fish_hookd_using_subcommand rollback" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand rollback" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand rollback" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand replay" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand replay" -l no-wait -d 'Don\'t wait for the deployment to end'
complete -c hookd -n "__fish_hookd_using_subcommand replay" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand replay" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand replay" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand cancel" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand cancel" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand cancel" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand cancel" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand pause" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand pause" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand pause" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand pause" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand resume" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand resume" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand resume" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand resume" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand token; and not __fish_seen_subcommand_from add list remove help" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand token; and not __fish_seen_subcommand_from add list remove help" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand token; and not __fish_seen_subcommand_from add list remove help" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand token; and not __fish_seen_subcommand_from add list remove help" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand token; and not __fish_seen_subcommand_from add list remove help" -f -a "add" -d 'Make a token, and print it alone on the last line; only its hash is kept'
complete -c hookd -n "__fish_hookd_using_subcommand token; and not __fish_seen_subcommand_from add list remove help" -f -a "list" -d 'List the tokens'
complete -c hookd -n "__fish_hookd_using_subcommand token; and not __fish_seen_subcommand_from add list remove help" -f -a "remove" -d 'Remove a token: it stops working at once'
complete -c hookd -n "__fish_hookd_using_subcommand token; and not __fish_seen_subcommand_from add list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from add" -l may -d 'What it may: `view`, or `deploy:` and a target, as in `deploy:shop/*`' -r
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from add" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from add" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from add" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from list" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from list" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from remove" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "add" -d 'Make a token, and print it alone on the last line; only its hash is kept'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the tokens'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Remove a token: it stops working at once'
complete -c hookd -n "__fish_hookd_using_subcommand token; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookd -n "__fish_hookd_using_subcommand audit" -s n -l limit -d 'At most so many' -r
complete -c hookd -n "__fish_hookd_using_subcommand audit" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand audit" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand audit" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand audit" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand schema" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand schema" -l example -d 'Print a configuration with every key and its default instead'
complete -c hookd -n "__fish_hookd_using_subcommand schema" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand schema" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand schema" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and not __fish_seen_subcommand_from test help" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand notify; and not __fish_seen_subcommand_from test help" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and not __fish_seen_subcommand_from test help" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and not __fish_seen_subcommand_from test help" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and not __fish_seen_subcommand_from test help" -f -a "test" -d 'Send a sample message and say what came back'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and not __fish_seen_subcommand_from test help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and __fish_seen_subcommand_from test" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand notify; and __fish_seen_subcommand_from test" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and __fish_seen_subcommand_from test" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and __fish_seen_subcommand_from help" -f -a "test" -d 'Send a sample message and say what came back'
complete -c hookd -n "__fish_hookd_using_subcommand notify; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookd -n "__fish_hookd_using_subcommand report; and not __fish_seen_subcommand_from test help" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand report; and not __fish_seen_subcommand_from test help" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand report; and not __fish_seen_subcommand_from test help" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand report; and not __fish_seen_subcommand_from test help" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand report; and not __fish_seen_subcommand_from test help" -f -a "test" -d 'Set a sample status on the live commit and say what came back'
complete -c hookd -n "__fish_hookd_using_subcommand report; and not __fish_seen_subcommand_from test help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookd -n "__fish_hookd_using_subcommand report; and __fish_seen_subcommand_from test" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand report; and __fish_seen_subcommand_from test" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand report; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand report; and __fish_seen_subcommand_from test" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand report; and __fish_seen_subcommand_from help" -f -a "test" -d 'Set a sample status on the live commit and say what came back'
complete -c hookd -n "__fish_hookd_using_subcommand report; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookd -n "__fish_hookd_using_subcommand completions" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand completions" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand completions" -s h -l help -d 'Print help'
complete -c hookd -n "__fish_hookd_using_subcommand completions" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand man" -l config -d 'The configuration file' -r -F
complete -c hookd -n "__fish_hookd_using_subcommand man" -l json -d 'Print JSON instead of text'
complete -c hookd -n "__fish_hookd_using_subcommand man" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c hookd -n "__fish_hookd_using_subcommand man" -s V -l version -d 'Print version'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "serve" -d 'Run the daemon, in the foreground'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "check" -d 'Read the configuration and report every problem'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "add" -d 'Set up a new repo: secret, deploy key, host key, directory and configuration; with a token also at the forge'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "remove" -d 'Remove what `add` set up. The site stays, unless it is purged'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "doctor" -d 'Check everything that can be wrong on this machine, and print how to fix it'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "demo" -d 'Show hookd at work on this machine: a site, a push, a signed webhook, a deployment, a rollback'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "explain" -d 'Explain what a delivery would do, and why'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "send" -d 'Send a signed push delivery, as the forge would'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "status" -d 'Show what is live, running and pending, and each problem'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "history" -d 'List deployments'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "deliveries" -d 'List webhook deliveries'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "releases" -d 'List the releases of a target'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "logs" -d 'Print the log of a deployment'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "deploy" -d 'Deploy the tip of a target\'s ref'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "retry" -d 'Retry what failed or was rolled back'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "rollback" -d 'Roll back to an earlier release at once, and stay there until `resume`'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "replay" -d 'Handle a stored delivery again, as if it had just arrived'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "cancel" -d 'Stop a target\'s running deployment, and drop pending ones'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "pause" -d 'Deploy nothing to a target until `resume`'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "resume" -d 'Resume a paused or rolled-back target'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "token" -d 'Make, list and remove tokens for programs that ask the status address'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "audit" -d 'Say who did what'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "schema" -d 'Print the JSON Schema of the configuration, for editors'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "notify" -d 'Test notifications'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "report" -d 'Test commit statuses'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "completions" -d 'Print a completion script'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "man" -d 'Print a manual page, in roff'
complete -c hookd -n "__fish_hookd_using_subcommand help; and not __fish_seen_subcommand_from serve check add remove doctor demo explain send status history deliveries releases logs deploy retry rollback replay cancel pause resume token audit schema notify report completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c hookd -n "__fish_hookd_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "add" -d 'Make a token, and print it alone on the last line; only its hash is kept'
complete -c hookd -n "__fish_hookd_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "list" -d 'List the tokens'
complete -c hookd -n "__fish_hookd_using_subcommand help; and __fish_seen_subcommand_from token" -f -a "remove" -d 'Remove a token: it stops working at once'
complete -c hookd -n "__fish_hookd_using_subcommand help; and __fish_seen_subcommand_from notify" -f -a "test" -d 'Send a sample message and say what came back'
complete -c hookd -n "__fish_hookd_using_subcommand help; and __fish_seen_subcommand_from report" -f -a "test" -d 'Set a sample status on the live commit and say what came back'
