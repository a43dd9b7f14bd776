"""What happens: load, decide in the domain, save. Everything that decides or writes goes through a flow."""
