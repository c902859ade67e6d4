package ledger

// A thing is what is bought or sold, in one language, and the account it belongs to.
type thing struct {
	name, account string
}

// A lang is all that sentences of one language are filled with.
type lang struct {
	bought, sold []thing
	means        []thing // ways to pay: phrase, account
	banks        []string
	first, last  []string // parts of a party's name
	people       []string
	carriers     []string
	frames       map[string][]string // by event
	tails        []string

	// How another one is named beside the one that counts, {x}.
	otherParty, otherThing, otherMeans []string
}

var english = lang{
	bought: []thing{
		{"a return ticket to Leeds", "travel"}, {"two nights in a hotel", "travel"}, {"a taxi to the airport", "travel"}, {"train fares", "travel"}, {"a rental car", "travel"},
		{"lunch with a client", "meals"}, {"team dinner", "meals"}, {"coffee for the meeting", "meals"}, {"catering", "meals"},
		{"printer paper", "office"}, {"toner and pens", "office"}, {"envelopes", "office"}, {"desk supplies", "office"},
		{"the office lease", "rent"}, {"warehouse rent", "rent"}, {"the monthly rent", "rent"},
		{"electricity", "utilities"}, {"water and heating", "utilities"}, {"the phone line", "utilities"}, {"internet service", "utilities"},
		{"freight to Hamburg", "freight"}, {"courier service", "freight"}, {"shipping of samples", "freight"},
		{"online ads", "advertising"}, {"a trade fair banner", "advertising"}, {"flyers", "advertising"},
		{"a software licence", "software"}, {"cloud hosting", "software"}, {"the accounting app", "software"},
		{"repair of the boiler", "repairs"}, {"van servicing", "repairs"}, {"fixing the roof", "repairs"},
		{"goods for resale", "inventory"}, {"a batch of lamps", "inventory"}, {"40 boxes of tea for the shop", "inventory"}, {"stock for the store", "inventory"},
		{"a laptop", "equipment"}, {"a packing machine", "equipment"}, {"office chairs", "equipment"}, {"a new server", "equipment"},
	},
	sold: []thing{
		{"12 lamps", "sales"}, {"a pallet of tea", "sales"}, {"garden tools", "sales"}, {"three desks", "sales"}, {"spare parts", "sales"}, {"a box of mugs", "sales"},
		{"consulting", "services"}, {"a training day", "services"}, {"translation work", "services"}, {"web design", "services"}, {"maintenance", "services"}, {"an audit", "services"},
	},
	means: []thing{
		{"in cash", "cash"}, {"from petty cash", "cash"}, {"with notes from the till", "cash"},
		{"by bank transfer", "bank"}, {"by wire", "bank"}, {"by direct debit", "bank"}, {"through the current account", "bank"}, {"by cheque", "bank"},
		{"by company card", "card"}, {"on the Visa card", "card"}, {"with the corporate credit card", "card"},
		{"via PayPal", "wallet"}, {"through Alipay", "wallet"}, {"by WeChat Pay", "wallet"},
	},
	banks:      []string{"Barclays", "ING", "Lloyds", "Commerzbank", "First National", "Credit Union", "HSBC", "Santander"},
	first:      []string{"Northgate", "Harbour", "Maple", "Silver", "Orchard", "Kestrel", "Bright", "Granite", "Willow", "Summit", "Delta", "Falcon", "Meadow", "Copper", "Juniper", "Atlas", "Pioneer", "Crown", "River", "Beacon", "Amber", "Cobalt", "Linden", "Vega"},
	last:       []string{"Supplies", "Trading", "Foods", "Logistics", "Works", "Services", "Partners", "Systems", "Stores", "Media", "Travel", "Paper"},
	people:     []string{"Anna", "Tom", "Maria", "Jens", "Priya", "Oliver", "Mei", "Carlos"},
	carriers:   []string{"DHL", "UPS", "FedEx", "the post"},
	frames:     englishFrames,
	tails:      englishTails,
	otherParty: []string{"{x} (not {y})", "{x}, formerly {y},", "{x} on the advice of {y}", "{x}, a rival of {y},"},
	otherThing: []string{"{x} instead of {y}", "{x} (not {y})", "{x}, after {y} last month,"},
	otherMeans: []string{"{x}, not {y}", "{x} and not {y} as before", "{x} (last time {y})"},
}

var chinese = lang{
	bought: []thing{
		{"往返机票", "travel"}, {"酒店住宿", "travel"}, {"高铁票", "travel"}, {"出差打车", "travel"},
		{"客户午餐", "meals"}, {"团队聚餐", "meals"}, {"会议茶点", "meals"},
		{"打印纸", "office"}, {"办公文具", "office"}, {"硒鼓", "office"}, {"信封和笔", "office"},
		{"办公室租金", "rent"}, {"仓库房租", "rent"}, {"本月房租", "rent"},
		{"电费", "utilities"}, {"水费", "utilities"}, {"宽带费", "utilities"}, {"取暖费", "utilities"},
		{"货运", "freight"}, {"快递服务", "freight"}, {"样品运输", "freight"},
		{"网络广告", "advertising"}, {"展会横幅", "advertising"}, {"宣传单", "advertising"},
		{"软件许可", "software"}, {"云服务器租用", "software"}, {"财务软件", "software"},
		{"空调维修", "repairs"}, {"货车保养", "repairs"}, {"屋顶修补", "repairs"},
		{"一批台灯", "inventory"}, {"待售茶叶", "inventory"}, {"店铺进货", "inventory"}, {"转售商品", "inventory"},
		{"笔记本电脑", "equipment"}, {"打包机", "equipment"}, {"办公椅", "equipment"}, {"新服务器", "equipment"},
	},
	sold: []thing{
		{"台灯12盏", "sales"}, {"茶叶一箱", "sales"}, {"园艺工具", "sales"}, {"书桌三张", "sales"}, {"零配件", "sales"}, {"马克杯", "sales"},
		{"咨询服务", "services"}, {"培训课程", "services"}, {"翻译服务", "services"}, {"网站设计", "services"}, {"设备维护", "services"}, {"审计服务", "services"},
	},
	means: []thing{
		{"现金", "cash"}, {"备用金", "cash"}, {"库存现金", "cash"},
		{"银行转账", "bank"}, {"电汇", "bank"}, {"对公账户", "bank"}, {"支票", "bank"},
		{"公司信用卡", "card"}, {"商务卡", "card"}, {"公务卡", "card"},
		{"支付宝", "wallet"}, {"微信", "wallet"}, {"微信支付", "wallet"},
	},
	banks:      []string{"工商银行", "招商银行", "建设银行", "农业银行", "交通银行", "中信银行", "浦发银行", "民生银行"},
	first:      []string{"华信", "东方", "金桥", "瑞丰", "恒达", "天宇", "明德", "长江", "海蓝", "宏图", "新星", "嘉禾", "永安", "盛世", "云峰", "百合", "泰和", "博雅", "正源", "青松"},
	last:       []string{"贸易公司", "物流公司", "文具店", "餐饮公司", "科技公司", "商行", "印务公司", "服务中心", "实业公司", "传媒公司"},
	people:     []string{"小王", "李明", "张会计", "陈姐", "老周", "刘经理"},
	carriers:   []string{"顺丰", "中通", "圆通", "邮政"},
	frames:     chineseFrames,
	tails:      chineseTails,
	otherParty: []string{"{x}（原{y}）", "{x}（不是{y}）", "{y}推荐的{x}"},
	otherThing: []string{"{x}（不是{y}）", "{x}（代替{y}）", "{x}（上月是{y}）"},
	otherMeans: []string{"{x}（不是{y}）", "{x}（上次是{y}）", "{x}而非{y}"},
}
