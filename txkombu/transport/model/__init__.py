"""
Sessions and channels of AMQP 0-9-1 without their bytes.

What has to be remembered, matched, undone and fired is the same whoever turns
methods into bytes.  A transport derives from L{session.Session} and, if it needs
to, from L{channel.Channel}, and provides what packs methods and contents, what
puts them on the wire, and what hands in those that come.
"""
